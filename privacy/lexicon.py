"""Given names, family names, places and organisations known to the name rules.

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
    decomposed = unicodedata.normalize("NFD", word.casefold().translate(_LIGATURES))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


GIVEN_NAMES = listed("""
    aaron abdallah abdel abdelaziz abdelhak abdelkader abdelkarim abdellah abdelmajid abdou
    abdoul abdoulaye abdourahmane abel abigail abou achille achraf ada adam adama adel adelaide
    adele adeline adem adil adja adje adrian adriana adrien adrienne agathe aglae agnes ahmadou
    ahmed aicha aida aime aimee aimery aina aissa aissata aissatou akim akira alain alan alban
    albane albert alberte albertine alessandro alessia alex alexandra alexandre alexia alexis
    alfred ali alia alice alicia alienor aline alioune alison alissa alix aliya alizee alma
    alpha alphonse alvaro alya alyssa amadou amal amalia amandine amar amara amaury ambre
    ambroise amel amelia amelie amelle amina aminata amine amir amira amos amy ana anael anaelle
    anais anas anastasia anatole andre andrea andreas andree andrei ange angel angela angele
    angelica angelina angeline angelique angelo anh ania anicet anis anissa anita anna annabelle
    annaelle annaig anne annette annick annie anouar anouck anouk anselme anthony antoine
    antoinette anton antonia antonin antonio antony apolline arame archibald ariane arianne
    arielle aristide arlette armand armande armel armelle arnaud arnold aron arsene arthur artus
    arwa arya ashley asma assa assane assia assma astou astrid athenais auban aude audran audrey
    augusta auguste augustin aurelia aurelie aurelien aurore axel axelle aya ayden aylin ayman
    aymane aymen aymeric ayoub ayse azeline aziz aziza azzedine babacar badr bakary baptiste
    baptistin barbara barnabe barthelemy basile bastien baudouin beatrice beatrix belkacem
    benedicte benjamin benjamine benoit benoite berenger berengere berenice bernadette bernard
    berthe bertille bertrand bianca bilal bilel billel bineta binta bintou birama blaise blanche
    blandine bleuenn bochra boris boubacar boubakar bouchra bouna brahim brandon brayan brenda
    brendan brian brice brieuc brigitte brunehilde bruno bryan burak calixte calliste calvin
    camelia camila camille candice carine carl carla carlos carmen carol carole carolina
    caroline cassandra cassandre cassie catarina catherine cathy cecile cecilia cedric celeste
    celestin celestine celia celian celine cem cesar chafik chahinez chaima chaimae chakib
    chantal charlaine charlene charles charlette charlie charline charlotte charly cheick cheikh
    cherif cheryl chiara chloe chris christel christelle christian christiane christina
    christine christophe christopher cindy claire clara clarence clarisse claude claudette
    claudia claudie claudine claudio clea clelia clemence clement clementine cleo cleophee
    clervie cloe clothilde clotilde clovis colette colin coline come conrad constance constant
    constantin consuelo coralie coralyne corentin corentine coretta corinne cosima cosme coumba
    cristina cristobal curtis cyprien cyriaque cyriel cyrielle cyril cyrille dagmar dahlia dalia
    dalila damien dan dana daniel daniela daniele danielle danny dany daouda daphne daria darius
    dave david dayana dean debora deborah delia delphin delphine denis denise denitsa deniz
    desire desiree diana diane dickens didier diego dieudonne dilan dimitri dina dinh diogo dja
    djamel djamila djena djeneba djibril dmitri dolores domenico dominique domitille donald
    donatien donovan dora doria dorian doriane dorine doris dorothee dounia driss duc dylan ebru
    eddie eddy eden edgar edgard edith edmond edmonde edouard eduardo edwige efflam egon elena
    eleonora eleonore eli elia elian eliane elias elie eliette elif elina eline eliot eliott
    elisa elisabeth elise elisee elizabeth ella elliot elliott elodie eloi eloise elouan elsa
    elvina elvire elvis elya elyas elyes elyne emanuel emeline emerence emeric emery emie emil
    emile emilia emilie emilien emilienne emilio emma emmanuel emmanuelle emmy emre emrys
    enguerrand enora enrique enzo erdem erell eric erica erik erika erin erine ernest ernestine
    erwan erwann esma esmeralda esteban estelle esther ethan etienne etiennette eudes eugene
    eugenie eulalie eva evan evann evelyne ewan ewen eya eyup ezekiel ezra fabien fabienne fabio
    fabiola fabrice fadela fadi fadila fadwa fahd fahim faical faiza falilou fallou fanch fanny
    fanta fantine farah fares farid farida farouk fatema fathi fatiha fatima fatimata fatma
    fatna fatou fatouma fatoumata faustin faustine fausto faycal federica federico felicia
    felicie felicien felicite felix ferdinand ferhat fernand fernande fernando ferreol fethi
    fidele filip filipe fiona firmin flavian flavie flavien fleur flora flore florence florent
    florentin florentine florestan florian floriane florianne florine fouad foued fouzia
    francesca francesco francette francine francis francisco franck franco francois francoise
    frank franz fred freddy frederic frederica frederique frida gabin gabriel gabriela gabriele
    gabrielle gad gael gaelle gaetan gaetane gaia garance gary gaspard gaston gatien gauthier
    gautier genevieve geoffrey geoffroy george georges georgette georgia georgina gerald
    geraldine gerard geraud germain germaine gersende gervaise ghislain ghislaine ghita gianni
    gilbert gilberte gilda gildas gilles gina ginette gino giovanni gisele gislaine giulia
    giulio giuseppe gladys glenn gontran gonzague goran grace graziella gregoire gregory greta
    guenael guenaelle guenole guewen guillaume guillemette gul gustave guy guylaine guylene gwen
    gwenael gwenaelle gwendal gwendoline gwenn gwennaig gwenola gwenole gwladys habib habiba
    hacene hadja hadrien hafid hafida hafsa haikel hajar hakan hakim hakima halima halimata
    hamadi hamady hamid hamida hamidou hamza hana hanae hanane hanh hania hanna hannah hans
    haoua haroun harouna harry hasan hassan hassane hassiba hassna hatem havva hawa hayat
    heather hector hedi hedwige heidi helena helene heloise henri henrietta henriette henrik
    henry herbert hermance hermann hermine herve hiba hicham hichem hilaire hilda hind hippolyte
    hoang hocine honore honorine hortense houari houcine houda houria houssam houssem huan
    hubert hugo hugues huguette hui humbert hung huong huseyin huy iago iban ibou ibra ibrahim
    ibrahima ibtissam ida idir idriss idrissa ignace igor ihsan ikram ilan ilana ilham ilhan
    ilian iliana ilias ilies illan ilona ilyan ilyas ilyes imad iman imane imed imen imene imran
    inaya ines inga ingrid inna innocent ioana ion iren irene iria irina iris irma isaac
    isabella isabelle isaie isaure iseult isidore isis islem ismael ismail ismaila isolde issa
    issam ivan ivana ivo iwan iyad izia jack jackie jacky jacob jacqueline jacques jad jade
    jalal jalil jamal jamel james jamila jan jana jane janice janine jannick jaouad jasmin
    jasmine jason jaume jaurice javier jawad jayden jean jeanine jeanne jeannette jeannine
    jeannot jeff jefferson jennifer jenny jeremie jeremy jerome jess jesse jessica jessie jessy
    jesus jihad jihane jim jimmy jing joachim joanna joannie joao joaquin jocelyn jocelyne joe
    joel joelle joey joffrey johan johann johanna johanne john johnny jojo jonas jonathan jordan
    jordane jordi jordy jorge jorys jose josee joseph josephine josette joshua josiane josselin
    josue joy joyce juan juana judicael judith jules julia julian juliana julie julien julienne
    juliette julio june junior justin justine kadder kader kadiatou kadidia kadidiatou kaina
    kais kalidou kalilou kamal kamel kamelia kamila kanto karel karen karim karima karin karine
    karl karla karolina kassandra kassim katarina kate katell kateryna kathleen kathy katia
    katie katy kawtar kayla kaylia kelia kelian kelly kelyan kemal ken kenan kenny kenza kenzo
    kerian kevin khadidiatou khadidja khadija khadijah khadim khady khaled khalid khalil khanh
    kheira khoa khoudia kieran kilian killian kim kimberley kirill kleber klervi koffi kofi
    kouadio kouame kouassi kristell kristina kryst kylian kyllian laeticia laetitia lahcen laila
    lakhdar lalla lam lamia lamine lan lana lancelot lara larbi larissa larry lassana lassine
    latif latifa laure laureline laurence laurene laurent laurette lauriane laurianne laurie
    laurinda laurine lauryn lazare lea leana leandra leandre leandro leane leila leina lena
    lenaic lenaick lenaig lenny leo leocadie leon leona leonard leonardo leonce leone leonie
    leonor leonore leontine leopold leopoldine leslie leticia letizia levan levi levy lexane
    leyla lia liam liana lianna liao lidia lidwine lila lilas lili lilia lilian liliana liliane
    liliia lillian lilly lilou lily lin lina linda line linh lino lionel lisa lisbeth lise
    liselotte lisette lison liu livia liviu loan loane loann loeiza logan lohan loic lois loise
    lola lolita lorena lorenzo lorine loris lorna lorraine lothaire lotte lou louane louann
    louanne loubna louca louis louisa louise louisette louiza louka loukas louna lounes lubin
    luc luca lucas lucette lucia lucian luciano lucie lucien lucienne lucile lucille lucinda
    lucio lucrece ludivine ludmila ludmilla ludovic ludwig luigi luis luisa luka lukas lydia
    lydie lyes lyla lylia lyna lyne lysa lysandre lyse maahdi mabrouk madani maddalena madeleine
    madeline mady mae mael maela maeline maelis maelle maelly maelyne maelys maeva magali
    magalie magda magdalena maggy maguelone mahamadou mahaut mahdi mahe mahmoud mahmut maia
    mailys maimouna maina maissa maite maiwenn majda majid makan malaika malak malamine malaurie
    malek malia malick malik malika malo malory malou malvina mamadi mamadou mamady mamoudou
    mandy manel manoah manoel manon manoun mansour manu manuel manuela manuella maor mara marc
    marcel marcelin marceline marcelle marcello marcelo marco marcos marek margaret margarita
    margaux margerie margo margot marguerite maria mariam mariama mariame marian marianne marie
    mariella marielle marieme marietou mariette marilou marilyn marilyne marin marina marine
    marinette mario marion marius mariusz marjolaine marjorie mark markus marlene marlon
    marouane marta marthe martial martin martina martine marvin marwa marwan mary maryam maryame
    marylene maryline marylise maryse maryvonne massimo mateo mateusz mathias mathieu mathilda
    mathilde mathis mathurin mathys matilda matis matisse matt matteo matthew matthias matthieu
    matthis mattia mattias maud maude maurane maureen maurice mauricette mauro max maxence
    maxime maximilian maximilien maximin may maya mayeul mayline maylis mayssa medard mederic
    medhi medi medina mehdi mehmet mei meissa mel melaine melanie melchior melek melina melinda
    meline melisande melissa mellie melodie melody melvin melvyn melyna mendel mercedes merouane
    mervyn meryem meryl messaoud michael michaela michail michel michele micheline michelle
    mickael mickaelle miguel mihai mikael mike mila milan milana milena milla milo miloud mimoun
    mina ming minh mira miranda mireille mirella mirelle miriam missipsa moctar modeste modou
    mohamadou mohamed mohammed mohand mohsen moise mokhtar moktar momo mona monia monica monika
    monique morad morgan morgane morvan moshe mostafa mouhamadou mouhamed mouna mounia mounir
    mourad moussa moustapha muhammad muhammed murat muriel murielle mustafa mustapha mylan
    mylene myriam myrtille nabil nabila nacer nacera nacim nadege nadejda nader nadia nadine
    nadir nadja nael naelle nafissa nafissatou nahel nahla naila naim naima najat najet najib
    najla najoua nam nans naomi naomie narjes nasser nassim nassima nassira nastasia
    natacha natalia natalie natasha nathael nathalie nathan nathanael nathaniel nawal nawel
    nayla naza ndeye neela nehemie neil nejma nelia nelly nelson nestor neven nga nghia ngoc
    nhung nicholas nicky nicola nicolas nicole nicoletta nikita niklas nikola nikolai nils nina
    nino nisrine noa noah noam noe noelie noeline noella noelle noemie nolan nolann nolwen
    nolwenn nora norah norbert nordine noriane norma norman nouha nouhaila nour noura nourdine
    noureddine nouria nuno nuria oceane octave octavie odette odile odilon odin odon oksana olaf
    oleg olena olga olive oliver olivia olivier olympe omar ombeline omer ondine onesime ophelie
    oriana oriane orianne orlando orlane ornella orphee oscar osman othman othmane otto ouafa
    oualid ouarda ouassim ouissem oulimata oumar oumayma oumou oumy ousmane ousseynou owen pablo
    pacome palmyre pamela panagiotis paola paolo paquita pascal pascale pascaline pasquale pathe
    patrice patricia patricio patrick patrik paul paula paule pauletta paulette paulin paulina
    pauline paulo pavel pedro peggy pelagie penda penelope perceval perle perrine peter petra
    petronille petru phan philemon philibert philip philippa philippe philippine philomene phuc
    phuong pia pier pierre pierrette pierrick pietro placide pol prescillia prince prisca
    priscilla priscille prosper prudence quang quentin quiterie quitterie rabah rabia rabiatou
    rachel rachid rachida radia rafael rafaela rahim rahma raimond raissa raja rajaa rama ramata
    ramatoulaye ramdane ramon ramzi rania ranya raoul raphael raphaela raphaelle rasha rashid
    raul raya rayan rayane raymond raymonde rayna reda redouane regina regine regis reine remi
    remy renald renan renata renato renaud rene renee reynald rhita rhizlane riad ricardo
    riccardo richard rico rihab rim rima rita riwan roald rob robert roberta roberte roberto
    robin robinson roch rodolfo rodolphe rodrigo rodrigue roger rojda rokhaya rokia roland
    rolande romain romaine romane romaric romeo romuald romy ronald ronan rosa rosalia rosalie
    rosaline rosanna rose roselyne rosemarie rosemonde rosette rosie rosine roula roxana roxane
    roy ruben rudy rufin rui ruth ryad ryan ryma saad saadia saara sabah sabine sabri sabrina
    sacha sadek sadia sadio safa safia safiatou safouane sahar said saida saidou saif sakina
    salah salif saliha salim salima salimata sallah sally salma salome salomee saloua salvador
    salvatore sam samantha samba sambou sami samia samir samira samson samuel samy sana sanaa
    sandie sandra sandrine sandro sandy sani santiago santino saphia sara sarah saranya sarra
    sasha saskia saturnin saul savannah savinien scarlett scott sean seba sebastian sebastiao
    sebastien seckou segolene sekou selena selim selima selin selma selmen semih serafina serena
    serge sergei sergio servane seth severin severine seydou seynabou shaima shaina shana
    shanice shanna shannon sharon shayna sheila sherazade sherine shirel shirley shu siaka sibel
    sibylle sid sidi sidney sidonie siegfried sigrid sihame sihem silas silvana silvere silvia
    silvio simeon simon simona simone sinan sindy siobhan sirine sixtine slimane smail sofia
    sofian sofiane sofien sohan sohane sokhna solal solange solen solena solene solenn solenne
    soline sonia sonny sophia sophian sophie soraya sorel soren souad soufiane souhaila soukaina
    souleymane soumaya soumia stacy stan stanislas steeve stefan stefania stefano stella stephan
    stephane stephanie stephen stephie steve steven stevens suleiman suleyman sullivan sumeyye
    surya susan susanna suzanne suzel suzette suzie suzon svetlana swann swanny sybille sylla
    sylvain sylvaine sylvana sylvere sylvestre sylvette sylvia sylviane sylvie tahar taina talia
    tamara tancrede tanguy tania tanya taous tara tarek tarik tariq tatiana tayeb tayron ted
    teddy telesphore telma tening teo terence teresa tess tessa thais thanh theau thelma theo
    theodora theodore theophane theophile theotime therese thi thiago thibaud thibault thibaut
    thien thierno thierry thimothee thomas thu thuy tiago tibo tidiane tidjane tiffany tilio tim
    timeo timothe timothee timothy timur tina tino tiphaine tiphanie titouan titus tobias tom
    toma tomas tomasz tommy toni tonio tony toufik tran trinh tristan tuan tudor tugdual tulay
    tullio tyler tyron ugo ulrich ulysse umut urbain ursula ursule vadim vahid valentin
    valentina valentine valere valeria valerian valerie valery valou van vanessa vannina vasile
    vasilica venceslas vera verane veronica veronique vianney vicente vick vicky victoire victor
    victoria victorien victorine viktor viktoria vincent vincente vincenzo viola violaine
    violeta violette virgil virgile virginia virginie vitalie vito vitoria vivian viviane vivien
    vivienne vladimir volkan volodia wadie wael wafa wahib wahiba walid walter wanda warren
    wassil wassila wassim wei wendy wesley wiam widad wilfried wilhelm wilhelmine will william
    willy wilson winnie wissal wissam wissem wolfgang xavier xaviere xenia xiao xin yacine
    yacoub yacouba yael yahia yahya yamina yamine yan yanice yanis yann yannick yannis yara
    yasin yasmin yasmina yasmine yassin yassine yassir yazid yeelen yelena yen yetounde ylan
    ylies ynes yoan yoann yohan yohann yolaine yolanda yolande yollande yoni yoran yoric yosra
    youcef youmna younes younous youra yousra youssef youssou youssouf ysaline ysaure yseult yue
    yulia yuliia yuna yunus yuri yusuf yvain yvan yveline yvelise yves yvette yvon yvonne
    yvonnick zach zacharia zacharie zachary zahia zahra zaid zaina zak zakaria zakary zakia zayd
    zaynab zeinab zeineb zelia zelie zeynep zhang zhen zhor ziad zineb zineddine zinedine zita
    ziyad zoe zohra zora zoubir zoulikha zoya zsofia zuleikha
    """)

FAMILY_NAMES = listed("""
    abbas abdallah abdi abdou abdoulaye abidi achour adam adjovi aguilar ahmadi ait alaoui
    albert allain allaire allard almeida alonso alvarez alves amiot amrani andre andrieu
    andrieux antoine antunes arnaud arnoult aroun asensio aubert aubin aubry auclair audibert
    auger azevedo azzouzi ba bah bailly bakhti balde ballet baptista barbier bardet baron barre
    barreau barreto barros barry barthelemy basset bataille baudet baudin baudouin baudry bayle
    bazin beauchamp beaufils beaulieu beaumont becker begue belaid belhadj belkacem belkacemi
    bellanger benabdallah benali benarbia benard benchekroun bendaoud benhamou benjelloun
    benmoussa bennani benoit bensaid benslimane benyahia benyoussef benzema berard berger
    bernard bernier berthelot berthier bertin bertrand besnard besse bessiere besson bigot
    billard billaud binet biron blanc blanchard blanchet blin blondel blot bocquet bodin boisson
    bonhomme bonin bonneau bonnefoy bonnet bonnin bordier borges bories bosc bouazza boucher
    bouchet boudet bouhaddou boukhari boulanger boulay boumediene bourdin bourdon bourgeois
    bourguignon bourhis boutin bouvet bouvier bouzid boyer brahimi braud brault breton briand
    brisset brossard brun bruneau brunet bui buisson cadiou caillaud caille calvez camara camus
    cao cardoso carlier carlos caron carpentier carre carrere carvalho castel castro cazenave
    celik chabert chaib champion chapelle chapuis charbonnier charles charlet charpentier
    charrier charron chatelain chaumont chauveau chauvet chauvin chen cheng cherif chevalier
    chevallier chevrier choi cisse cissokho clement clerc coelho cohen colas colin collet collin
    combe comte conde contreras cordier corre correia cortes costa coste cote cottin couderc
    coulibaly coulon courtois cousin coutinho cros cruz cunha dacosta dahmani daho daniel danjou
    dao david davila dechamps delacroix delage delahaye delannoy delarue delattre delaunay
    delcourt delmas delorme delprat demange dembele demir denis denoyer descamps deschamps
    deshayes desmarais devaux devos diaby diakite diallo diarra diaz didier dieng diop diouf
    djebbar dogan dore doucet doumbia drouet drouin duarte dubois dubos dubreuil duc duchemin
    duchene duchesne dufour duhamel dumas dumont dupin dupont dupre dupuis dupuy durand duret
    duval dziri ernst esteves estrada etienne evrard fabre faivre fall farias faure favre faye
    felix fernand fernandes fernandez ferrand ferrari ferreira ferrero ferry figueiredo fischer
    flament fleury fofana fonseca fontaine forestier fortin foucher fouquet fournier fraisse
    francois freitas frey gaillard gallet gallois garcia garnier garreau gaudin gauthier gautier
    gay geffroy genet gentil georges gerard germain gervais ghazi gilbert gilles gillet girard
    giraud godard godin gomes gomez gomis goncalves gonzales gonzalez grandjean granger gras
    green gregoire grenier grondin gros guerin guerreiro gueye guibert guichard guilbert
    guillaume guillemin guillet guillon guillot guillou guy guyot haddad hadj hakimi hamadi
    hamel hamidi hamon hardy henry hernandez herve hoang hoarau hubert huet hugues humbert
    husson huynh ibrahim idrissi imbert jacob jacques jacquet jacquin jacquot jamin jaouen jean
    joly joseph josse joubert jourdain jourdan julien jung kaba kacem kante kaya kebe keita kim
    klein koch koffi konan konate kone kouame kouassi kouyate kowalski lacombe lacoste lacroix
    lagarde lahaye lam lambert lamy langlois lapierre laporte laroche larue launay laurent
    lavigne lebas lebeau leblanc leblond lebon lebreton lebrun lecerf leclerc leclercq lecomte
    leconte lecoq leduc lefebvre lefevre lefort lefranc legall legendre leger legoff legrand
    legros lejeune leleu lelievre lemaire lemaitre lemoine lenoir leon lepage leroux leroy
    lesage lesueur letellier levasseur leveque levy lhomme li lin liu loiseau lombard lopes
    lopez loridan louis lucas ly mace machado macron magnier mahe mahieu maillard maillet
    maillot mallet maltais mansouri marchal marchand marechal marie marin marion marques martel
    martin martineau martinet martinez martins marty mary masse masson mathieu maurel maurice
    maurin maury mbappe mbaye medjahed mendes mendy mercier merle merlin meunier meyer michaud
    michel michelet millet mohamed moine moreau moreira morel moreno morin morvan moulin mounier
    mounir moura muller munoz nascimento navarro ndiaye ndoye neveu nguyen niang nicolas nicolet
    noel nogueira normand nunes oger olivier ollivier omar ortega ortiz ouali ouattara ouedraogo
    oumar ozturk palmer parent paris park pascal pasquier paul payet pelissier pelletier peltier
    pereira peres perez perret perrier perrin perron perrot petit petitjean pham phan philippe
    picard pichon pierre pineau pinson pinto pires poirier poisson pommier poncet pons porcher
    portier potier pottier poulain prevost prieur prigent puech pujol queiroz quere rahmani
    ramirez ramos rault raymond raynaud rebours redon regnault regnier remy renard renaud
    renault rey reynaud ribeiro ribot ricard richard riou riviere robert robin robinet roche
    rocher rodier rodrigues rodriguez roger rolland romero rose rossi rossignol rousseau roussel
    rousset roux roy royer ruiz sadi sagna sahin saidi salaun salmon samake samson sanchez
    sanogo santos sarr sarrazin sauvage savary schmidt schmitt schneider schwartz seck sene
    serra serrano sesay seydi sidibe silva simon simonet slimani soares soler sousa souza sow sy
    sylla taieb tanguy tavares teixeira tellier terrier tessier texier thiam thibault thierry
    thomas tissot tixier torres touati toure tournier toussaint tran traore trinh truong
    valentin vallee vallet vasseur vaz verdier verger vernet veron vidal vieira vigneron villain
    villard vincent vogel voisin wagner walter wang weber weiss wolff wu xu yahiaoui yang
    yildirim yilmaz zerrouki zhang zhao zheng zhou ziani zidane zidani zimmermann zongo
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
    accenture accor adecco adidas adobe afpa air airbnb airbus akkodis alcatel aldi allianz
    alstom alten altran amazon android anpe apec apple arcelor arcelormittal areva ariane arkea
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
