"""Family names, places and organisations known to the name rules.

Written for this project from general knowledge of names in use in France, whatever
their origin. Forms are folded (lower case, without accents) and hyphenated names are
listed by their parts. The lists are not meant to be complete: they anchor the rules of
``privacy.names``, and ``privacy.recognisers`` generalises from them by word vectors.
"""

import unicodedata

_LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "\u0131": "i"})


def listed(words: str) -> frozenset[str]:
    """Read a list of words apart by spaces and lines."""
    return frozenset(words.split())


def phrases(text: str) -> frozenset[str]:
    """Read a list of phrases apart by commas."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split(","))


def fold(word: str) -> str:
    """Lower a word and take its accents off, so that ``Zoé`` and ``ZOE`` are one."""
    lower = word.casefold()
    if lower.isascii():
        return lower
    decomposed = unicodedata.normalize("NFD", lower.translate(_LIGATURES))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


FAMILY_NAMES = listed("""
    abbas abdallah abdi abdou abdoulaye abgrall abidi abiven achour adam adjovi adnot aguilar
    aguirre ahmadi ahmed aissaoui ait akrour alaoui albert allain allaire allal allard allegre
    allouche almeida alonso alvarado alvarez alves amar ameur amiot amirouche amrani amsellem
    ancelin andre andriamanana andrieu andrieux angot anselme antoine antunes arbaoui
    archambault armand arnal arnaud arnould arnoult aroun arribas artaud asensio asselin
    assouline astier attali aubert aubertin aubin aubriot aubry auclair audebert audibert
    audouin auffret auger aumont autret avril aymard azevedo azoulay azzouzi ba babin bachelet
    badie bah baillet bailleul bailly bakhti balde ballet balmont bancel bapst baptista barat
    barbe barbier barbot bardet bardin bardot baril barnier baron barrat barrault barre barreau
    barreto barrois barros barry barthe barthelemi barthelemy basset bastide bataille battini
    baudet baudin baudoin baudouin baudry bauer baumann bayle bazile bazin beauchamp beaufils
    beaulieu beaumont beauvais becker bedel begue bejaoui bekkouche belaid belanger belghazi
    belhadj belhaj belkacem belkacemi bellanger bellec bellon belmont benabdallah benaissa
    benali benaouda benarbia benard benarfa benchaib benchekroun benchikh bendaoud benhadj
    benhamou benjelloun benkirane benlahcen benmansour benmoussa bennani benoit bensaid
    benseghir benslimane bentaleb benyahia benyoussef benzaoui benzema berard beraud bercier
    berger bernard bernier berthelot berthet berthier bertho berthod berthon bertin bertolini
    bertrand besancon besnard bessaguet besse bessiere besson bettencourt beziat biancheri
    bideau bienvenu bigot bihan billard billaud billet billon binet biret biron bizet blaise
    blanc blanchard blanchet blanchot blandin blaszczyk blin bloch blondel blot bocande bocquet
    bodin boisseau boissel boisson boivin bonal bonet bonhomme boni bonin bonnard bonnaud
    bonneau bonnefoy bonnet bonneville bonnin bordes bordier borel borg borges bories bosc
    boscher bossard bosse bouabdallah bouaziz bouazizi bouazza bouchard boucher boucheron
    bouchet boudet boudjemaa bouhaddou bouhassoun boukhari boulanger boulay boulet boulic
    boumediene bouquet bourdin bourdon bourge bourgeois bourgoin bourguignon bourhis bourlier
    bousquet boussaid bouteiller bouteloup boutet boutin bouttier bouvet bouvier bouzid
    boyadjian boyer brahimi brard braud brault brechet breton breuil briand briere brisset
    brochard brossard brossier brousse brugiere brun bruneau brunel brunet bruyere buffet bui
    buisson burel busson cabanes cabrol cadet cadiou cahuzac caillaud caille calmels calvet
    calvez camara cambon campos camus canu cao capelle cardoso cariou carlier carlin carlos
    caron carpentier carre carrere carriere cartier carvalho cassagne castagnet castaing castan
    castel castelain castro catala cauchy caumont cavalier cayla cazaux cazenave celik cellier
    chabert chaboud chaib chaillou chambon champagne champion chanteloup chapelle chappuis
    chapuis charbonneau charbonnier charles charlet charlot charpentier charrier charron charton
    chastel chateau chatel chatelain chaudhary chaumont chauveau chauvet chauvin chavanne chedid
    chemla chen cheng chenu cherif cheron chevalier chevallet chevallier chevrier chiche choi
    chopin chouaki choukri chretien christophe cisse cissokho clavel clavier clement clerc
    clerget cloarec cochard cochet coelho cohen coiffard colas colin collard collet colleu
    collignon collin colombani colonna combe combes compaore comte conde condette contreras
    corbin corbineau cordier cordonnier cormier cornet cornu corre correia cortes cosquer cosse
    costa coste cote cottard cottin couderc coudert coudray coulaud coulibaly coulon courbet
    courtin courtois cousin coutard coutinho couturier crespin crochet cros cruz cunha cuvelier
    dabo dacosta daguet dahmani daho dallery dalmasso damas danet daniau daniel danjou dao
    darras dartois dauphin david davila debove debray dechamps decker defrance degand dejean
    delabarre delacroix delafosse delage delahaye delahousse delalande delamare delannoy
    delaporte delaroche delarue delattre delaunay delcourt delcroix delesalle delhaye delille
    delmas delmotte delobel delorme delpech delplanque delprat delvaux demange demarais demaret
    dembele demir demirci demont deneuve denis denoeud denoyer derouet desbois descamps
    deschamps descombes desforges deshayes desmarais desmoulins despres destombes devaux deville
    devillers devos dhaene diaby diakite diallo diarra diarrassouba diaz didelot didier diebolt
    dieng dieudonne diop diouf djebbar dogan dolet domingues dominguez donnadieu dore dorval
    dossou doucet doucoure doumbia drevet drouet drouin droz duarte dubois dubos dubosc dubourg
    dubreuil duc ducasse duchamp duchemin duchene duchesne duclos ducrocq dufour dufresne dugue
    duhamel dujardin dulac dumas dumont dumoulin dupin duplan duplantier duplessis dupont duport
    dupouy dupre dupuis dupuy duquesne durand duret durieux durocher dussart dutertre duthil
    duval duvivier dziri echeverria el elmaleh emery esnault espinosa esteve esteves estrada
    etcheverry etienne evrard eymard fabiani fabre fadel faivre fall farge farias faucher
    fauchon faucon faure fauvel favre favreau faye fayolle felix fernand fernandes fernandez
    ferrand ferrandi ferrari ferre ferreira ferrero ferry feuillet fevre figueiredo filali
    fischer flament fleuriot fleury florent fofana fonseca fontaine fontan forest forestier
    forget fortier fortin foucault fouche foucher fougere fouquet fournier fraisse franchi
    francois freitas fremont fresneau frey frison froment gachet gagneux gaillard galland gallet
    gallo gallois gambier garcia garnaud garnier garreau garrigues gascoin gasnier gaspard
    gasquet gaucher gaudin gaudry gauthier gautier gautron gavard gay gbagbo geffroy gelin
    gendron genet genin gentil geoffroy georges georget gerard gerbaud germain germond gervais
    ghanem ghazi giacomini gicquel gilbert gilles gillet gilot giordano girard girardin giraud
    giraudeau girault giuliani glaser gobert godard godin goffin gomes gomez gomis goncalves
    gonzales gonzalez gosse gosselin goubert gouin goujon goulet gounelle gourdon gousset goyer
    grall grandin grandjean grange granger granier gras grasset gravier green gregoire gregori
    grelier grenier griffon grimaldi grimaud grondin gros grosjean grosset gruber guedj guegan
    guenin gueno guerin guerini guerra guerreiro guesdon gueye guibert guichard guichet guigue
    guilbaud guilbert guillard guillaume guillemin guillemot guillet guillon guillot guilloteau
    guillou guilloux guinot guiraud guivarch guy guyader guyonnet guyot haddad haddou hadj
    hadjadj hakimi haller hamadi hamard hamel hamelin hamidi hammami hamon hanna hardy harel
    hartmann hascoet hatem hauser hebert helary hemery hennequin henry herbert hernandez herve
    heurtel hilaire hirsch hoang hoarau hocquet hoffmann houdin hubert huchet hue huet hugues
    huguet humbert humeau hurel husson huynh ibrahim idrissi iglesias imbaud imbert izard jacob
    jacobs jacquemin jacques jacquet jacquier jacquin jacquot jaffre jamet jamin janin janvier
    jaouen jarry jaubert jean jeannin jegou jobert jolivet jolly joly joseph josse josset jouan
    jouanneau joubert jourdain jourdan jouve juan juillard juin julien jullien jung kaba kabore
    kacem kaci kadri kahn kamara kane kante karoui kasmi kaya kebe keita keller kerboul
    kermarrec kerneis kerouedan kervella kessler khelifi kieffer kim klein koch koffi konan
    konate kone kouame kouassi kouyate kowalczyk kowalski kozlowski krief kuntz labarre labbe
    labelle laborde laborie labrousse labry lachaud lacombe lacoste lacour lacroix ladjimi
    laffont lafitte lafon laforge lagadec lagarde lagrange lahaye lahlou lalanne lallemand lam
    lamarque lambert lambin lamotte lamy landais landreau lang langlais langlois lanoe lapeyre
    lapierre laporte larcher laroche larrieu larue lasalle lassalle latour launay laurens
    laurent laurin laval lavaud lavigne laville lebas lebeau lebel leblanc leblond lebon lebret
    lebreton lebrun lecarpentier lecat lecerf leclerc leclercq lecointe lecomte leconte lecoq
    lecuyer ledoux leduc lefaucheur lefebure lefebvre lefeuvre lefevre lefloch lefort lefranc
    legall legay legendre leger legoff legrand legros leguen lejeune leleu lelievre lelong
    lemaire lemaitre lemarchand lemercier lemoine lemonnier lenfant lenoir lenormand leon lepage
    lepretre lerouge leroux leroy leroyer lesage lescure lesne lesueur letellier letourneur
    levacher levasseur leveque levert levy lhermitte lhomme lhostis li lin liu llorca loiseau
    loisel lombard longuet lopes lopez lorain lorenzo loret loridan lorin lorrain louis louvel
    loyer lucas luciani ly maalouf mace machado macron madec magnan magne magnier mahe mahieu
    maigret mailhot maillard maillet maillot mainguy maire malet malherbe malik mallard mallet
    maltais mangin mansouri manteau marais marandon marcel marcelin marchais marchal marchand
    marcotte marechal maret marguerite mariani marie marin marinho marion mariotti marlot
    marmier marques marquet marquis marrec martel martin martineau martinet martinez martino
    martinon martins marty mary marzouki masclet massard masse masson massot mathieu mathis
    matthieu maubert maucourt mauger maurel maurice maurin maury mazet mazzoni mbappe mbaye
    mebarki meddeb medjahed megret mehdaoui meignan melin menage menard mendes mendy menguy
    menou mercadier mercier merle merlet merlin messaoudi metayer meunier meyer mezghani michaud
    michel michelet michelin mignot milan millet millot minard miquel mirande moal mohamed
    mohammedi moine moisan molina monet monge monier monnet monnier monteil montel montoya mora
    moreau moreira morel moreno morice morillon morin morineau morisset morvan motte mouchet
    mougin moulin mounier mounir moura moussaoui mukendi muller munier munoz murat naceur nadeau
    nascimento naudet naudin navarre navarro ndiaye ndoye nedelec neveu neveux ngo ngoma nguema
    nguyen niang nicol nicolas nicolet nivet noel nogueira noiret nollet normand normant
    nougaret noury nunes obadia odin oger oliveira oliver olivier ollivier omar orsini ortega
    ortiz ory ouali ouattara oudin ouedraogo ouellet oumar ozanne ozturk pacaud padovani pages
    paillard pajot palacios palmer panhard papin paquet parent paris parisot park parmentier
    pascal pascual pasquet pasquier patel patin patry paul pavard payan payet pech pegard
    pelissier pellerin pelletier pelloux peltier penot pepin peraud pereira peres perez perraud
    perrault perreau perret perrichon perrier perrin perrochon perron perrot pesquet petit
    petitjean peyre peyrot pham phan philippe picard pichard pichon picot pidoux pierre pierron
    pietri pigeon pillet pillon pinard pinault pineau pinel pinot pinson pinto piquet pires
    piron planchon plantier plessis poggi poirier poisson pollet pommier poncet pons popescu
    porcher portier potier pottier pouget poulain poulet pouliquen poupard pourcel prat prenant
    prevost prieur prigent prost provost prunier pruvost puech puig pujol queiroz quemener
    quentin quere querre quillet rabah racine ragot rahmani raimbault raimond rambaud ramet
    ramirez ramon ramos raoul rault ravel raveloson raymond raynal raynaud rebillard reboul
    rebours redon redouane regis regnault regnier reinhardt remy renard renaud renaudin renault
    renou revel rey reynaud reynier ribeiro ribot ricard ricaud richard richer riffaud rigal
    rigaud rigaux rimbaud rio rios riou ripoll rivet riviere rivoire robert robic robin robinet
    roblin roche rochefort rocher rochette rodier rodrigo rodrigues rodriguez roger rolin
    rolland rollin romain romand romero ronco roque rose rosier rossi rossignol rossini rouault
    roubaud rouget rougier rouillard roulet rouquette rousseau roussel rousselle rousset rouvier
    roux rouxel rouyer roy royer ruffin ruiz sabatier sabourin sadi sadoun sagna sagnier sahin
    saidi saint salaun salmi salmon salomon samake samba samson sanchez sangare sanogo santini
    santos sarkissian sarr sarrazin sassi saulnier saunier sauvage sauvageot savard savary
    savoie schaeffer scherrer schmidt schmitt schmitz schneider schuster schwartz sebban seck
    seguin segura selmi sene senechal serra serrano serre servant sesay sevestre seydi sicard
    sidibe siegel sigaud silva simoes simon simonet simonin sissoko slimani soares soler sonko
    sorel soulier soumare sourisseau sousa souza sow steiner stephan subra surel susini sy sylla
    tahar taieb talbi talbot tanguy tardieu tardy tavares tazi tchoumi teboul teixeira tellier
    terrasse terrier tessier texier teyssier theron therond thevenet thevenin thevenot thiam
    thibaud thibault thierry thiery thomas thomasset thouvenin tisserand tissot tixier tomas
    torre torres touati touchard toumi toure tournaire tournier toussaint touzet tran traore
    tricot trillat trinh troadec trochu trouillet truong turpin turquet urruty vacher vaillant
    valat valentin valette valle vallee vallet vallon vandenberghe vanhoutte varin varlet
    vasquez vasseur vatin vauthier vaz vela verdier verger vergne verhaeghe vernet vernier veron
    verrier vial viard viaud vidal vieira vigier vigneron vigouroux viguier vilain villain
    villard villeneuve villepin villette vincent vinet viollet virolle vitali vogel voisin
    voisine volle vuillemin wagner walter wang watson weber weil weiss werner wilhelm willaume
    winter wolff wozniak wu xu yacoubi yahiaoui yahya yang yildirim yilmaz yvon zaidi zamora
    zaoui zerrouki zhang zhao zheng zhou ziani zidane zidani zidi ziegler zimmer zimmermann
    zongo zouari
    """)

PLACES = listed("""
    afrique agen aix ajaccio albertville albi alencon alfortville alger algerie allemagne alpes
    alsace amerique amiens andorre angers anglet angleterre angouleme annecy antibes antony
    aquitaine arcachon ardeche argenteuil arles arras artois asie asnieres athenes aubagne
    aubervilliers auch aude aulnay aurillac autriche auvergne auxerre aveyron avignon bagneux
    bagnolet barcelone bastia bayonne beaune beauvais belfort belgique bergerac berlin besancon
    bethune beziers biarritz blagnac blois bobigny bondy bordeaux bougival boulogne bourg
    bourges bourgogne bourgoin brest bretagne briancon brive bron bruxelles bulgarie cachan caen
    cagnes cahors calais calvados cameroun canada cannes carcassonne carpentras castres
    cavaillon cayenne cergy chalon chalons chambery chamonix champagne champigny chantilly
    charente charleroi charleville chartres chateauroux chatellerault chatillon chatou chaumont
    cher cherbourg chine cholet clamart clermont clichy cognac colmar colombes compiegne
    concarneau congo corbeil correze corse courbevoie creil creteil croatie danemark dax
    deauville decines denain dieppe dijon dinan dinard dole dordogne douai doubs draguignan
    drancy dreux drome dublin dunkerque echirolles ecosse egypte epernay epinal epinay ermont
    espagne essonne estonie etampes etats-unis eure europe evreux evry falaise fecamp ferrand
    finistere finlande flandre fontainebleau forbach fougeres france frejus gabon gap gard
    garonne gascogne geneve gennevilliers gers gironde givors gonesse grasse grece grenoble
    guadeloupe gueret guinee guyane haguenau haiti hendaye herault hollande honfleur hongrie
    houilles hyeres inde indre irlande isere issoire issy istres italie ivry japon jarville
    joinville jura lacanau landes lanester languedoc lannion laon lausanne laval lens leucate
    levallois liban libourne liege lievin lille limoges limousin lisbonne lisieux livry locmine
    loire loiret lomme londres longjumeau lons lorient lorraine lot lourdes lozere luneville
    luxembourg lyon macon madagascar madrid malakoff mali manche manosque mantes marmande marne
    maroc marseille martigues martinique massy maubeuge mayenne mayotte meaux melun menton
    merignac metz meudon meuse meylan miami milan millau monaco montargis montauban montbeliard
    montelimar montigny montlucon montpellier montreal montreuil montrouge morbihan morlaix
    morteau moscou moselle moulins mulhouse munich nancy nanterre nantes narbonne navarre
    neuilly nevers nice nievre nimes niort noisy nord normandie norvege noumea occitanie oise
    orange orleans orly orne orsay oullins oyonnax paca paimpol palaiseau pamiers pantin papeete
    paris pau perigueux perpignan pessac picardie poissy poitiers poitou pologne pontarlier
    pontault pontivy pontoise portugal prague provence puteaux pyrenees quebec quercy quiberon
    quimper rambouillet redon reims rennes reunion rezais reze rhone riom roanne rodez romans
    rome romorantin roubaix rouen roumanie russie saintes saintonge sarcelles sarreguemines
    sarthe saumur saverne savoie sceaux schiltigheim sedan seine senegal senlis sens sete sevran
    sevres sochaux soissons somme stains stockholm strasbourg suede suisse suresnes talence
    tarbes tarn thionville thonon tokyo toul toulon toulouse tourcoing tours trappes troyes
    tulle tunis tunisie turquie ukraine ulis valence valenciennes vannes vanves var vaucluse
    vaulx vendee vendome venissieux verdun vernon versailles vesoul vichy vienne vierzon
    villefranche villejuif villenave villeneuve villeparisis villepinte villeurbanne vincennes
    vitre vitrolles vitry voiron vosges wattrelos yonne yutz yvelines
    """)

ORGANISATIONS = listed("""
    accenture accor adecco adidas adobe afpa agefiph air airbnb airbus akkodis alcatel aldi
    allianz alstom alten altran amazon ameli android anpe apec apple arcelor arcelormittal areva
    ariane arkea
    arkema atos auchan axa bayer bic blablacar bnp bollore bosch boulanger bouygues bpce
    bricorama caf capgemini carglass carrefour cartier casino castorama cegos chanel chronopost
    cisco citroen cnam cned cnil cnrs coca cofidis coursera covea credit criteo crous cultura
    dacia danone darty dassault decathlon deezer deliveroo dell deloitte devoteam dhl dior
    disney doctolib dropbox edenred edf eiffage ekwateur elior emmaus enedis engie epitech
    ericsson eurostar excel expleo facebook fedex ferrero figma fnac foncia ford free galeries
    gan generali gifi github gitlab glassdoor gmail gmf google groupama groupon gucci hec henkel
    hermes hertz hilton hopwork hsbc htc huawei hyundai ibm icade icloud ifop iliad indeed
    insead insee instagram intel interim intermarche ipsos iut jacquemus java javascript
    jcdecaux jira jouve kelio keolis kering kia kiabi kiloutou klaxoon kpmg l'oreal la-poste
    lacoste lafarge lagardere laposte lcl leboncoin leclerc ledger lego legrand lenovo lidl
    linkedin linux loreal lvmh macif maif malakoff manpower manutan mastercard mazars mcdonald
    mercedes mgen michelin microsoft mistral monoprix monster mozilla natexis natixis nestle
    netflix nexity nike nintendo nissan nokia norauto notion novartis nutella oracle orange
    orangina orano orpea outlook ovh ovhcloud paypal pernod peugeot pinterest playstation pmu
    porsche powerpoint publicis puma pwc python qonto quechua randstad ratp reddit renault ricoh
    rte ryanair sage salesforce samsung sanofi sap satt savencia schneider seb sephora sfr shein
    shell siemens slack snapchat sncf societe sodexo sogeti somfy sony sopra spie spotify
    starbucks stellantis suez sunweb synergie teams tefal telegram tesla thales tiktok total
    totalenergies transdev trello trivago twitter uber ubisoft udemy ugc unicef unilever urssaf
    veolia viadeo vinci vinted visa vivendi volkswagen volvo walmart waze whatsapp windows word
    worldline xerox yahoo yelp yoplait youtube zalando zara zoom
    """)
