"""Given names in use in France, whatever their origin, folded; see ``privacy.lexicon``."""

from privacy.lexicon import listed

GIVEN_NAMES = listed("""
    aarav aaron abdallah abdel abdelali abdelatif abdelaziz abdelfattah abdelghani abdelhadi
    abdelhafid abdelhak abdelhamid abdelilah abdeljalil abdelkader abdelkarim abdellah
    abdellatif abdelmajid abdelmalek abdelmounaim abdelouahed abdenour abderrahim abderrahman
    abderrahmane abderrazak abdessamad abdou abdoul abdoulaye abdourahmane abel abena abhishek
    abigail abou achille achraf ada adam adama adebayo adel adelaide adele adelie adeline adem
    adeola adil adina aditi aditya adja adje adjoa adjoua adrian adriana adrien adrienne aenor
    affoue afi afua agathe aglae agnes agnieszka ahlam ahmadou ahmed ahmet ahou aicha aida aime
    aimee aimery aina ainhoa aissa aissata aissatou aitor ajay akash akim akira akissi akosua
    akouvi akua alain alan alassane alban albane albert alberte albertine alena alessandro
    alessia alex alexandra alexandre alexia alexis alfred ali alia alice alicia alienor aliette
    alina aline aliou alioune alison alissa alix aliya alizee alma aloise alpaide alpha alphonse
    alvaro alya alyssa ama amadou amael amaia amal amalia amandine amani amar amara amaury amaya
    ambre ambroise amel amelia amelie amelle amenan amina aminata aminatou amine amir amira amit
    amoin amos amy ana anael anaelle anahit anaig anais anand anas anastasia anastasiya anatole
    anca ancelin ander andoni andre andrea andreas andree andrei andrzej ange angel angela
    angele angelica angelina angeline angelique angelo anh ania anicet anil anis anissa anita
    anjali ankit anna annabelle annaelle annaig anne annette annick annie anouar anouck anouk
    anselme anthelme anthony antoine antoinette anton antonia antonin antonine antonio antony
    anu apolline aram arame archibald ariane arianne arielle arij aristide arjun arlette armance
    armand armande armel armelle armen arnaud arnold aron arsene arthur artus arun arwa arya
    arzhel arzhela asha ashley ashok asma asmaa assa assane assia assma astou astrid athenais
    attila auban aude audran audren audrey augusta auguste augustin aurelia aurelie aurelien
    auriane aurore austreberthe awa axel axeline axelle aya ayden ayele aylin ayman aymane
    aymard aymen aymeric ayodele ayoub ayse aysegul aysel aytac azeline azilis aziliz aziz aziza
    azza azzedine babacar babatunde badara badr badreddine bahar bakary balazs bamba bao
    baptiste baptistin barbara baris barnabe barthelemy basile bassem bastian bastien bastienne
    bathilde baudouin beata beatrice beatrix belkacem benedicte benjamin benjamine benoit
    benoite beranger berangere berenger berengere berenice berkay bernadette bernard berthe
    bertille bertin bertrand bertrande betty betul bianca bich bilal bilel billel bineta binh
    binta bintou birama bixente blaise blanchard blanche blandine bleuenn bochra bogdan
    bonaventure boniface boris boualem bouazza boubacar boubakar bouchra boujemaa bouna brahim
    brandon branka brayan brenda brendan brewen brian brice briec brieg brieuc brigitte
    brunehilde bruno bryan budoc burak burcu busra calixte calliste calvin camelia camila
    camille canan candice cansu capucine carine carl carla carlos carmela carmen carol carole
    carolina caroline casimir cassandra cassandre cassie cassien catalin catarina catherine
    cathy cecile cecilia cedric cedrine celeste celestin celestine celia celian celine cem cemal
    cesar chafik chahinez chaima chaimae chakib chakir chang chantal chantale charlaine charlene
    charles charlette charlie charline charlotte charly cheick cheikh cheng cherif cheryl chiara
    chidi chinedu chioma chiraz chloe chris christel christelle christian christiane christina
    christine christophe christopher chukwu chun cihan cindy cire claire clara clarence clarisse
    claude claudel claudette claudia claudie claudine claudio clea cleanthe clelia clelie
    clemence clement clementine cleo cleophee clervie cloe clothilde clotilde clovis colette
    colin coline colomban come conan conrad constance constant constantin consuelo coralie
    coralise coralyne corentin corentine coretta corina corinne cosima cosme cosmin coumba
    cristina cristobal cuong curtis cyprien cyprienne cyrian cyriaque cyriel cyrielle cyril
    cyrille dagmar dahlia dalia dalibor dalila damien damienne dan dana danaelle daniel daniela
    daniele danielle danny dany daouda daphne daphnee daria darius darya dat dave david davy
    dayana dean debbie debora deborah dede deepa deepak deirdre delia delphin delphine demba
    denez denis denise denitsa deniz denyse derrien derya desire desiree dhouha diana diane
    diarra dickens didier diego diep dieudonne dieuveil dilan dilara dimitri dina dinh diogo
    dior divya diwan dja djamel djamila djeinaba djena djenabou djeneba djibril djiby dmitri
    dmytro dolores domenico dominique domitille donald donan donatien donatienne donovan dora
    doria dorian doriane dorine doris dorota dorothee dounia dragan driss duc dung duong dusan
    duy dylan ebru ece eddie eddy eden edern edgar edgard edith edmond edmonde edouard eduardo
    edwige efflam eflamm efua eglantine egon ekaitz ekaterina elaia elea eleane eleanore elena
    eleonora eleonore eli elia elian eliane elias elie eliette elif elina eline eliot eliott
    elisa elisabeth elise elisee elizabeth ella elliot elliott eloane elodie elodine eloi eloise
    elouan elsa eluan elvina elvire elvis elya elyas elyes elyne emanuel emeka emeline emerence
    emeric emery emie emil emile emilia emilian emilie emilien emilienne emilio emine emir emma
    emmanuel emmanuelle emmy emna emre emrys emy enaelle endika eneko enes enguerran enguerrand
    enogat enora enrique enzo eozen ercan erdem erell eric erica erik erika erin erine erlantz
    ernest ernestine erwan erwann esi esma esmeralda esra esteban estelle esther eszter ethan
    etienne etiennette eudes eudoxie eugene eugenie eulalie euphrasie eva evaelle evan evane
    evann evariste evelyne evgeny ewa ewan ewen eya eyup ezekiel ezra fabien fabienne fabio
    fabiola fabrice fabrizio fadela fadi fadila fadwa fahd fahim faical faiza falilou fallou
    fama fanch fang faniry fanny fanta fantine farah fares farhad farid farida farouk farzaneh
    fatema fatemeh faten fathi fatih fatiha fatima fatimata fatimatou fatma fatna fatou fatouma
    fatoumata faustin faustine fausto faycal fayssal federica federico fei felicia felicie
    felicien felicite felix feng ferdi ferdinand ferenc ferhat feriel fernand fernande fernando
    ferreol fethi fiacre filip filipe fiona firmin flavian flavie flavien fleur fleurine flora
    flore florence florent florentin florentine florestan florette florian floriane florianne
    floriant florin florine folake fouad foued fouzia fragan francelin francesca francesco
    francette francine francis francisco franck franco francois francoise frank franz fred
    freddy frederic frederica frederique frida fulbert fulgence gabin gabor gabriel gabriela
    gabriele gabrielle gad gael gaela gaelic gaelle gaetan gaetane gaia galina gamze garance
    gary gaspar gaspard gaston gatien gaud gaurav gauthier gautier gauvain geeta genevieve
    genevievre geoffrey geoffroy geofroy george georges georgette georgia georgina georgine
    gerald geraldine gerard geraud germain germaine germano gersande gersende gervais gervaise
    gevorg ghada ghazal gheorghe ghislain ghislaine ghita ghjulia ghofrane giang gianluca gianni
    gilbert gilberte gilda gildas gilles gina ginette gino giorgi giovanni gisele gislaine gita
    giulia giulian giulio giuseppe gladys glenn glodi gokhan gontran gonzague goran goulven
    goulwen grace gracia graziella grazyna gregoire gregory greta guang guelord guenael
    guenaelle guenole guewen guilhem guillaume guillemette gul gulsen gurvan gustave guy guylain
    guylaine guylene gweltaz gwen gwenael gwenaelle gwenc gwendal gwendoline gwenn gwennaig
    gwenola gwenole gwladis gwladys habib habiba hacene hadja hadrien hafid hafida hafsa haifa
    haikel haja hajar hakan hakim hakima halil halim halima halimata halina hamadi hamady hamed
    hamid hamida hamidou hamou hamza hana hanae hanane hanen hang hanh hania hanitra hanna
    hannah hannibal hans hao haoua harilala harish haroun harouna harry hasan hasina hasmik
    hassan hassane hassania hassiba hassna hatem hatice haude havva hawa hayat heather hector
    hedi hedwige heidi hela helena helene heliette heloise henri henrietta henriette henrik
    henry herbert hermance hermann hermine hermione herri herve hery hiba hicham hichem hieu
    hilaire hilda hind hippolyte hoa hoang hocine hoel hong honore honorin honorine hortense
    hossein houari houcem houcine houda houria houssam houssem huan hubert hugo hugolin hugues
    huguette hui humbert hung huong huseyin huy hyacinthe iago iban ibou ibra ibrahim ibrahima
    ibtissam ichrak ida idir idoia idriss idrissa ifeoma ignace ignacio igor ihintza ihsan
    ikenna ikram ilan ilana ilayda ildiko ilef ilham ilhan ilian iliana ilias ilies ilker illan
    ilona ilyan ilyas ilyass ilyes imad iman imane imed imen imene imran inais inaki inaya
    indira ines inga ingrid inna innocent insaf ioana iolanda ion ionut iren irena irene iria
    irina iris irma isaac isabella isabelle isaie isaline isaure iseult isidore isis islem
    ismael ismahan ismail ismaila ismerie isolde issa issam istvan itziar iulia ivan ivana
    ivanie ivo iwan iwona iyad izia jaafar jacek jacinthe jack jackie jacky jacob jacqueline
    jacques jad jade jagu jalal jalil jalila jamaa jamal jamel james jamila jan jana jane
    janelle janice janine jannick janusz jaouad jaoven jasmin jasmina jasmine jason jaume
    jaurice javad javier jawad jaya jayden jean jeanine jeanne jeannette jeannine jeannot jeff
    jefferson jelena jemima jennifer jenny jennyfer jeoffrey jeremie jeremy jerome jerzy jess
    jesse jessica jessie jessy jesus jian jiang jie jihad jihane jihen jildaz jim jimmy jing
    jitka joachim joana joanna joannes joannie joao joaquin jocelin jocelyn jocelyne joe joel
    joelle joey joffrey johan johann johanna johanne john johnny jojo jonah jonas jonathan
    jordan jordane jordi jordy jorge joris jorys jose josee joseph josepha josephe josephine
    josette joshua josiane josselin josselyne josue jovana joy joyce juan juana judicael judith
    judoc jules julia julian juliana julianne julie julien julienne juliette julio jun june
    justin justine justyna kaan kadder kader kadiata kadiatou kadidia kadidiatou kadir kafui kai
    kaina kais kalidou kalilou kamal kamala kamel kamelia kamila kamilia kamran kang kanto
    kaourintin kaoutar kaouther karel karen karim karima karin karine karl karla karolina
    karthik kassandra kassim katalin katarina katarzyna kate katell katelle katerina kateryna
    kathleen kathy katia katie katy kaveh kavita kavya kawtar kayla kaylia kehinde kelia kelian
    kelly kelvin kelyan kemal ken kenan kenny kenza kenzo kerem keren kerian kerstin kevin
    khadidiatou khadidja khadija khadijah khadim khady khaled khalid khalil khanh khaoula kheira
    khoa khoudia khouloud kien kieran kilian killian kim kimberley kiran kirill kleber klervi
    kodjo koffi kofi kojo kokou komi komlan konan konogan kossi kossiwa kouadio kouakou kouame
    kouassi koulm koupaia kristell kristina kryst krzysztof kseniya kubra kwabena kwadwo kwame
    kwasi kylian kyllian laarbi laeticia laetitia laetizia lahcen lahsen laig laila lakhdar
    lakshmi lalaina laleh lalla lam lamia lamine lamis lan lana lancelot landry laouenan lara
    larbi larisa larissa larry lassana lassine laszlo lata latif latifa laura laurane laure
    laureen laureline laurence laurene laurent laurette lauriane laurianne laurie laurinda
    laurine lauryn lazare lea leana leandra leandre leandro leane leelou lei leila leili leina
    lena lenaic lenaick lenaig lenka lenny leo leocadie leon leona leonard leonardo leonce leone
    leonie leonor leonore leontine leopaul leopold leopoldine leslie leticia letizia levan levi
    levy lexane leyla lhoussaine lia liam liana liang lianna liao lidia lidwine lijun lila lilas
    lili lilia lilian liliana liliane liliia lillian lilly lilou lily lin lina linda line ling
    linh lino lionel lisa lisbeth lise liselotte lisenn lisette lison liu liv livia livio liviu
    loan loane loann lobna loeiza loeva logan logann lohan lohann loic loick loig lois loise
    lola lolita loredana lorena lorenzo lorick lorine loris lorna lorraine lotfi lothaire lothar
    lotte lou louane louann louanne loubna louca louen louis louisa louisanne louise louisette
    louiza louka loukas louna lounes loup lova lubin luc luca lucas lucette lucia lucian luciano
    lucie lucien lucienne lucile lucille lucillia lucinda lucio lucrece ludivin ludivine ludmila
    ludmilla ludovic ludwig luigi luis luisa luka lukas lydia lydie lyes lyla lylia lylou lyna
    lyne lysa lysandre lyse lyudmila maahdi maati mabrouk madalina madani maddalena madeleine
    madeline madenn mady mae mael maela maelan maeline maelis maelle maelly maelyne maelys maeva
    magali magalie magda magdalena magdeleine maggy maguelone mahamadou mahaut mahdi mahe mahel
    maher mahmoud mahmut mahsa maia mailys maimouna maina maissa maissane maite maiwen maiwenn
    majda majdi majid makan maksim malaika malak malamine malaurie malaury malek malgorzata
    malia malick malik malika malo malorie malory malou malvina malwenn mamadi mamadou mamady
    mame mamoudou mamour mamy mandy manech manel manish manoah manoel manoj manon manoun mansour
    manu manuel manuela manuella maor mara marc marceau marcel marcelin marceline marcelle
    marcellin marcello marcelo marcin marco marcos marek margaid margaret margarita margaud
    margaux margerie margo margot marguerite mari maria mariam mariama mariame marian marianne
    mariannick mariatou marie mariella marielle marieme marietou mariette marilou marilyn
    marilyne marilyse marin marina marine marinette mario marion marius mariusz marjane
    marjolaine marjorie mark marketa markus marlene marlon marlyse marouan marouane marta marthe
    martial martin martina martine marvin marwa marwan marwen mary maryam maryame maryange
    marylene maryline marylise marylou maryse maryvonne marzhin masoud massamba massimo mateo
    mateusz mathias mathieu mathilda mathilde mathis mathurin mathys matilda matis matisse matt
    matteo matthew matthias matthieu matthis mattia mattias maturin maud maude maurane mauranne
    maureen maurice mauricette mauro mawenn mawuli max maxence maxime maximilian maximilien
    maximin maxine may maya mayeul maylee mayline maylis mayssa mbarek mbaye medard mederic
    medhi medi medina meena mehdi mehmet mehrdad mei meissa mel melaine melanie melchior melek
    melina melinda meline melisande melissa melisse mellie melodie melody melvin melvyn melyna
    melyssa mendel meng mercedes meriadeg meriame meriem merlin merouane mert merve mervyn
    meryem meryl messaoud mesut mhamed mialy michael michaela michail michel michele micheline
    michelle mickael mickaelle miguel mihaela mihai mikael mike mikhail mila milan milana milane
    milann milena milia milica milla milo milos miloud mimoun mina ming minh miora mira miranda
    mireille mirella mirelle miriam miroslav missipsa moctar modeste modou mohamadou mohamed
    mohammed mohan mohand mohcine mohsen moise mokhtar moktar momo mona moncef monia monica
    monika monique morad morgan morgana morgane morgann morvan moshe mostafa mouad mouhamadou
    mouhamed mouhcine mouna mounaim mounia mounir mourad moussa moustapha muhammad muhammed
    mukesh murat muriel murielle mustafa mustapha mylan mylene myriam myrtille nabil nabila
    nacer nacera nacim nadege nadejda nader nadezhda nadia nadine nadir nadja nadra nael naelle
    nafi nafissa nafissatou nahel nahla naig naila naim naima nais najat najet najib najla
    najoua nandini nans naomi naomie naoual narek narjes narjess nasrin nasser nassim nassima
    nassira nastasia natacha natalia natalie natan natasha nathael nathaelle nathalie nathan
    nathanael nathanaelle nathaniel naveen navid nawal nawel nawres nayla naza nazli ndella
    ndeye ndiaga necati neela neha nehemie neil nejib nejma nelia nelio nelly nelson nerys
    nesrine nestor neven neyla nga nghia ngoc ngor ngozi nhan nhi nhung nicholas nicky nicola
    nicolas nicole nicoletta nikhil nikita niklas nikola nikolai nikolaz nilda nils nilufer nima
    nina ning nino nisha nisrine nitin nizar njaka nkechi noa noah noam noe noelia noelie
    noeline noella noelle noemie nola nolan nolann nolwen nolwenn nora norah norbert nordine
    noriane norine norma norman nouha nouhad nouhaila nour noura nourddine nourdine noureddine
    nouria noyale nuno nuray nuria oana oanell oanez oanh obinna oceane octave octavie odeline
    odette odiane odile odilon odin odon oksana olaf oleg oleksandr olena olfa olga olive oliver
    olivia olivier olumide oluwaseun olympe omar ombeline omer ondine onesime onja onur ophelie
    orane orhan oriana oriane orianne orlan orlando orlane ornella orphee orsola oscar osman
    othman othmane ottavia ottilie otto ouafa ouafae oualid ouarda ouassim ouissem oulimata
    oumar oumayma oumnia oumou oumy ousmane oussama ousseynou owen ozan ozge ozgur ozlem pablo
    pacome padma padrig palmyre pamela panagiotis paola paolina paolo pape paquita parisa parviz
    pascal pascale pascalin pascaline pasquale pathe patrice patricia patricio patrick patrik
    paul paula paule pauletta paulette pauliane paulin paulina pauline paulo pavel pavlo pedro
    peggy peguy pelagie penda penelope peng peran perceval perig perle pernelle perrig perrin
    perrine peter petr petra petronille petru phan philae philemon philibert philip philippa
    philippe philippine philomene phong phuc phuong pia pier pierre pierrette pierrick pietro
    ping piotr placide pol pooja pouya pradeep prakash prashant prescillia primel prince prisca
    priscilla priscille priya prosper prudence prunelle qian qing quang quentin quiterie
    quitterie quoc quynh rabah rabia rabiatou rabie rached rachel rachelle rachid rachida radha
    radia rado radu rafael rafaela rafal rafik rahim rahma rahul raimond raissa raja rajaa
    rajesh rajiv rakesh raluca rama ramata ramatou ramatoulaye ramazan ramdane ramesh ramon
    ramona ramzi rani rania ranya raouf raoul raphael raphaela raphaelle rasha rashid raul ravi
    raya rayan rayane raymond raymonde rayna razvan rebecca rebeka recep reda redouan redouane
    regina regine regis reine reka rekha remi remy renald renan renata renato renaud renaude
    rene renee reynald reza rhita rhizlaine rhizlane riad ricardo riccardo richard rico ridha
    rihab rim rima rita ritu rivo riwal riwan roald rob robert roberta roberte roberto robin
    robinson roch rodolfo rodolph rodolphe rodrigo rodrigue roger rohit rojda rokhaya rokia
    roland rolande romain romaine roman romane romaric romarin romeo romuald romy ronald ronan
    rong roparz rosa rosalia rosalie rosaline rosana rosanna rose roseline roselyne rosemarie
    rosemonde rosette rosie rosine roula roxana roxane roxanne roy roya ruben rudy ruellan rufin
    rui ruslan ruth ryad ryan rym ryma saad saadia saara sabah saber sabin sabine sabri sabrina
    sacha sadek sadia sadio saeed safa safia safiatou safouane sahar said saida saidou saif
    sakina salah salamata salif saliha salim salima salimata saliou sallah sally salma salome
    salomee saloua salvador salvatore salvatrice salwa sam samah samaneh samantha samar samba
    sambou sameh sami samia samir samira samson samuel samy samzun sana sanaa sanae sandeep
    sandie sandra sandrina sandrine sandro sandy sani sanjay santiago santino saphia sapna sara
    sarah saranya sarra sasha saskia satish saturnin saul savannah savinien scarlett scott sean
    seba sebastian sebastiao sebastien seckou sedat segolaine segolene segun seif sekou selcuk
    selena selim selima selin selma selmen semih senda serafina serdar serena serge sergei
    sergio sergiy serhiy serkan servane seth sev sevda severin severine sevgi sevim seydou
    seynabou shahin shaima shaina shalini shan shana shanice shanna shannon shanti sharad sharon
    shayna sheila sherazade sherine shirel shirin shirine shirley shiva shreya shruti shu siaka
    siavash sibel sibylle sid sidi sidney sidonie sidy siegfried sigolene sigrid siham sihame
    sihem silas silouane silvain silvana silvere silvia silvio simeon simon simona simone sinan
    sindy sinem siobhan sira sirine sita sixte sixtine skander slawomir slim slimane slobodan
    smail sneha snezana sofia sofian sofiane sofien sofiene sofiya sohan sohane soheil sokhna
    solal solange solen solena solene solenn solenne soline solofo solveig sonali songul sonia
    sonny sophia sophian sophie soraya sorel soren souad soufian soufiane souhail souhaila
    souhir soukaina souleymane soumaya soumia stacy stan stanislas stanislasse stanislav
    stanislaw steeve stefan stefania stefano stella stephan stephane stephania stephanie stephen
    stephie steren sterenn steve steven stevens sudha suleiman suleyman suliac sullivan suman
    sumeyye sunil sunita suresh surya susan susanna sushila suzanna suzanne suzel suzette suzie
    suzon svetlana swan swann swanny sybille sylla sylvain sylvaine sylvana sylvere sylvestre
    sylvette sylvia sylviane sylvie tadeusz taha tahar tahina taina taiwo talia tam tamar tamara
    tancrede tanguy tania tanya tao taous tara taran taras tarek tarik tariq tatia tatiana tayeb
    tayron ted teddy telesphore telma temitope tenin tening teo terence teresa tereza tess tessa
    tetiana thai thais thaissa thang thanh thao theau thelma theo theodora theodore theodule
    theophane theophanie theophile theotime therence therese thi thiago thibaud thibault thibaut
    thien thierno thierry thimeo thimothee thinh thoa thomas thouraya thu thuan thuy tia tiago
    tiana tibo tidiane tidjane tien tifenn tiffany tigran tiguidanke tilio tim timeo timothe
    timothee timothy timur tina ting tino tiphaine tiphanie tiphenn titouan titouane titus toan
    tobias tobie toinon tojo tolga tom toma tomas tomasz tommy toni tonio tony toscane toufik
    touria tracy tran trang tresor tri trinh tristan trung trystan tuan tudi tudor tugba tugdual
    tulay tullio tuncay tunde tunvez turgut tuyen tyler tyron uche ufuk ugo ugoline ugur ulrich
    ulrike ulysse uma umut urbain urielle ursula ursule usha vaclav vadim vahid valentin
    valentina valentine valentino valentyna valere valeria valerian valerie valery valou vandana
    vanessa vannina vardan varun vasile vasilica vassili venance venceslas vera verane veronica
    veronique vianney vicente vick vicky victoire victor victoria victorien victorine vidya viet
    vijay vikas vikram viktor viktoria viktoriya vinay vincent vincente vincenzo vinciane vinh
    vinod viola violaine violeta violette violine viorica virgil virgile virgilia virginia
    virginie vishal vitalie vitaline vito vitoria vivian viviane vivien vivienne vladimir
    voahangy vola volkan volodia volodymyr wadie wael wafa wahib wahiba wajdi walid walter wanda
    wandrille warren wassil wassila wassim wei wendy wesley wiam widad wided wieslaw wilfrid
    wilfried wilhelm wilhelmine will william willy wilson winnie wissal wissam wissem wojciech
    wolfgang xabi xan xavier xaviere xenia xia xiang xiao xiaoli xiaoming xin xiu xuan xue yaa
    yacine yacoub yacouba yael yahia yahya yamina yamine yan yande yang yanice yanis yann
    yannick yannig yannis yao yara yaroslav yasaman yasemin yasin yasmin yasmina yasmine yassin
    yassine yassir yassmine yavuz yaw yawa yawovi yazid yeelen yelena yen yetounde yetunde
    yevhen ying ylan ylies ynes yoan yoann yohan yohann yolaine yolanda yolande yollande yong
    yoni yoran yoric yosra yosri youcef youmna younes youness younous younss youra yousra
    youssef youssou youssouf youssoupha youssra ysaline ysaure ysee yseult yuan yue yulia yuliia
    yun yuna yunus yuri yusuf yvain yvan yveline yvelise yven yves yvette yvon yvonne yvonnick
    ywan zach zacharia zacharie zachary zadig zahia zahra zaid zaina zaineb zak zakaria zakariae
    zakary zakia zayd zaynab zbigniew zdenek zehra zeinab zeineb zeki zelia zelie zephirin
    zephyr zeynep zhang zhanna zhen zhi zhong zhor zhour zia ziad zied zineb zineddine zinedine
    zita ziyad ziyed zoe zofia zohra zoltan zora zoran zoubida zoubir zouhair zoulikha zoya
    zsofia zsuzsanna zuleikha zuzanna
    """)
