"""Words that stand beside people's names, and words that never are one."""

import re

from privacy.lexicon import listed, phrases

CIVILITIES = listed(
    """
    m mr mrs ms mme mmes mlle mlles mm monsieur madame mademoiselle messieurs mesdames dr
    docteur docteure pr professeur professeure me maître maitre sir mister miss veuve sieur
    """
)
PARTICLES = listed(
    """
    de du des d la le les l van von der den dem ter ten ben bin ibn ould el al ait aït da dos
    das do di del della lo san saint sainte mc mac abd abu abou bel bou sidi st
    """
)
"""Words that join the parts of a name; they belong to it only between or before other parts."""

FOREIGN_PARTICLES = listed(
    """
    van von der den ter ten ben bin ibn ould el al ait aït da dos das do di del della abd abu abou
    bel bou mc mac
    """
)
"""Those that are no French words: what they lead in is a name, whatever else it means."""

DETERMINERS = listed(
    """
    le la les un une des ce cet cette ces notre votre leur ma ta sa en mon ton son nos vos leurs
    mes tes ses
    """
)
MONTHS = listed(
    """
    janvier février fevrier mars avril mai juin juillet août aout septembre octobre novembre
    décembre decembre
    """
)
ROLES = listed(
    """
    adjoint adjointe chef cheffe comptable conseiller conseillere consul coordinateur
    coordinatrice depute deputee directeur directrice doyen doyenne gerant gerante inspecteur
    inspectrice intendant intendante juge maire ministre prefet prefete president presidente
    principal principale procureur procureure proviseur proviseure recteur rectrice responsable
    secretaire senateur senatrice tresorier tresoriere
    """
)
"""What stands behind a civility and an article instead of a name (``Madame la Directrice``)."""

TRADE = re.compile(r"\w{3,}(?:eure|thérapeute|ologue|opathe|ographe)|cheffe")
"""Trades by their endings; dictionaries lack the newer of them."""

STOP = listed(
    """
    à a ai au aux avec avait avez avoir bien bonjour bonsoir c car ce ceci cela celle celui ces
    cet cette chez ci comme comment d dans de depuis des donc dont du elle elles en encore entre
    est et étaient était être eu eux faire fait furent hier ici il ils j je jamais l la le les
    leur leurs lui là m ma mais me mes moi mon même n ne ni non nos notre nous on ont ou oui où
    par parce pas pendant peut plus pour pourquoi qu quand que quel quelle qui quoi s sa sans se
    ses si son sont sous sur t ta te tes toi ton toujours tous tout toute très trop tu un une
    vers veut voici voilà vos votre vous y ça cordialement merci salut coucou hello demain
    aujourd'hui puis alors aussi the and of is at to for with my your his her our their this
    that it i he she we they was were hi hey dear thanks thank regards best please but not no
    yes call from in on by as an be have has had will would can could should just very too who
    what when where why how ok tél mél bcp cdlt cdt slt
    """
)

ACRONYMS = listed(
    """
    rh drh cdi cdd cv pdg dg daf dsi rssi bts dut but cap bac mba ceo cto cfo coo hr it ux ui qa
    seo crm erp sap sql php html css api aws gcp ios btp rse cse vae cpf tjm rtt usa uk ue eu
    onu faq pme pmi tpe eti sas sarl sa eurl smic tva csp hlm ter rer tgv vtc gps cfa esat ehpad
    chu siret siren iban nir rib bic vat asap fyi nb ps ras svp stp ok
    """
)

ALSO_SHORT_FORMS = listed(
    """
    max sam tim ted rob will mark ken jan dan fred ali jim kim yan han
    """
)
"""Given names that in lower case are as often something else."""

STRONG_CUE = re.compile(
    r"(?:(?<![\w.])(?:M|MM|Dr|Pr|Me|Mr|Mrs|Ms|Mme|Mmes|Mlle|Mlles|Vve)\.?\s{0,2}"
    r"|(?i:\b(?:monsieur|madame|mademoiselle|docteure?|professeure?|ma[iî]tre|mister|mrs?|ms|mme|mlle|dr)"
    r"\.?\s"
    r"|\b(?:je\s(?:m'appell?e|me\s(?:nomme|pr[ée]nomme))|(?:il|elle|qui)\ss'appell?e|s'appelant|s'appelait"
    r"|(?:mon|son|le)\s(?:nom|pr[ée]nom)(?:\s(?:complet|de\sfamille))?\s(?:est|c'est|:)"
    r"|nomm[ée]e?|pr[ée]nomm[ée]e?|(?:nom|pr[ée]nom|name|signature|contact|candidate?|tuteur"
    r"|tutrice|interlocut(?:eur|rice)|r[ée]f[ée]rent|destinataire|exp[ée]diteur)s?"
    r"(?:\s(?:de\sfamille|complet|et\spr[ée]nom))?\s?:|sign[ée]\s?:?|dixit|alias|ici"
    r"|my\s(?:full\s)?name\sis|i\sam\scalled|named|signed:?)\s))$"
)
"""Ends right before a name, even one that is also an ordinary word or written in lower case."""

WEAK_CUE = re.compile(
    r"\b(?:appell?e[zr]?|appel[ée]e?|rappel(?:ez|er|[ée])|contact(?:ez|er|[ée])|joindre|joignez|demande[zr]"
    r"|(?:ai|as|a|avons|avez|ont)\s(?:eu|vu)|(?:re)?voir|voyez|[ée]cri(?:s|vez|re)\s[àa]|parl(?:er|ez|[ée])\s(?:[àa]|avec)|discut[ée]r?\savec"
    r"|de\sla\spart\sde|[àa]\sl'attention\sde|de\snom\sde|rencontr(?:er|[ée])|re[çc]u[e]?\spar|[ée]chang[ée]r?\savec"
    r"|bonjour|bonsoir|salut|coucou|hello|merci|ch[èe]re?|dear|hi|thanks|avec|par|via|gr[âa]ce\s[àa]"
    r"|merci\s[àa]|moi\sc'est|c'?est|je\ssuis|(?:mon|ma|notre|votre|le|la|un|une)\s(?:coll[èe]gue|ami[e]?|mentor[ée]?e?|bin[ôo]me"
    r"|parrain|marraine|sup[ée]rieure?|encadrante?|apprentie?|alternante?|associ[ée]e?|g[ée]rante?"
    r"|interlocut(?:eur|rice)|r[ée]f[ée]rente?|candidate?|confr[èe]re|cons[œo]ur|conjointe?|compagne"
    r"|compagnon|[ée]poux|[ée]pouse|m[èe]re|p[èe]re|oncle|tante|neveu|ni[èe]ce|beau-\w+|belle-\w+"
    r"|manager|manageuse|recruteu[rs]e?|tuteur|tutrice|conseill[eè]re?|format(?:eur|rice)|chef(?:fe)?"
    r"|responsable|patronn?e?|directeur|directrice|fr[èe]re|s[oœ]eur|fils|fille|mari|femme|voisine?"
    r"|copain|copine|cousine?|boss|coach|professeure?|prof|stagiaire|assistante?)"
    r"|cordialement|amicalement|bien\s[àa]\s(?:vous|toi)|bonne\sjourn[ée]e|salutations|regards|cheers"
    r"|call|ask\sfor|contact|with|spoke\sto|met)\b(?:\s(?:de|du|à|a))?[\s,.:!]{1,3}$",
    re.IGNORECASE,
)
"""Ends before what is often a name: a capitalised or listed word is one there."""

ORGANISATION_CUE = re.compile(
    r"\b(?:chez|soci[ée]t[ée]|entreprise|groupe|cabinet|agence|bo[îi]te|start-?up|marque|enseigne"
    r"|magasin|restaurant|filiale|[ée]diteur|banque|assureur|logiciel|outil|langage|framework"
    r"|garage|boulangerie|pharmacie|h[ôo]tel|startup)\s(?:de\s|l'|la\s|le\s)?$",
    re.IGNORECASE,
)
PLACE_CUE = re.compile(
    r"\b(?:[àÀ]|en|vers|sur|depuis|r[ée]gion|ville\sde|bassin\sde|pr[èe]s\sde|proche\sde|autour\sde"
    r"|c[ôo]t[ée]\sde|direction|banlieue\sde|loin\sde|agglom[ée]ration\sde|d[ée]partement\sd[eu])\s$",
    re.IGNORECASE,
)
ACTS = re.compile(
    r"\s(?:m'a|m'ont|l'a|nous\sa|vous\sa|n'a|n'est|a\s|est\s|était|avait|ne\s|va\s|dit|pense|semble"
    r"|travaille|répond|cherche|doit|peut|veut|et\s[A-ZÀ-Þ])|,\s(?:de|du|le|la|mon|ma|notre|votre|une?)\s"
)
"""What follows a name that opens a sentence: somebody does something."""

PLAIN_PHRASE = re.compile(
    r"(?:Ange\sgardien(?:ne)?|Aurore\sbor[ée]ale|Claire\set\s(?:concise|nette|pr[ée]cise)"
    r"|Pierre\s(?:à\sl'[ée]difice|angulaire|apr[èe]s\spierre|d'achoppement|de\staille|naturelle"
    r"|philosophale|ponce|pr[ée]cieuse|s[èe]che|tombale))\b"
)
"""Opens a sentence with a word that is a given name as well, and is about nobody."""

NAMED_AFTER_PEOPLE = phrases(
    """
    alain afflelou, ben jerry, bernard loiseau, bonne maman, buffalo grill, calvin klein, charles
    de gaulle, christian dior, claude code, claudie pierlot, daniel hechter, elie saab, eric
    bompard, ernst young, franck provost, guy hoquet, hugo boss, ile de france, jacadi, jack
    daniels, jacques dessange, jacques vabre, jean coutu, jean jaures, jean louis david, johnson
    johnson, jules ferry, jules verne, julien d orcel, leroy merlin, louis vuitton, marcel
    dassault, marie claire, marie curie, martin margiela, mary cohr, michael page, mont blanc,
    morgan stanley, nina ricci, paul smith, petit bateau, petit prince, pierre et marie curie,
    pierre et vacances, pierre fabre, ralph lauren, robert half, robert walters, saint laurent,
    sophia antipolis, stephane plaza, thierry mugler, uncle ben, val thorens, victor hugo, yves
    rocher, yves saint laurent, zadig voltaire
    """
)
"""Companies and places that carry a person's name, folded."""
