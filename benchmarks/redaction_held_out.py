"""The part of the redaction corpus that figures are taken on; the rules were not tuned on it."""

from benchmarks.redaction_corpus import Part


def _comma(text: str) -> list[str]:
    return [" ".join(value.split()) for value in text.split(",")]


HELD_OUT = Part(
    templates=[
        "Coucou {given}, toujours partant pour mardi ?",
        "{full} a été d'une grande aide pendant tout le parcours.",
        "Désolé mais {given} et moi, ça ne colle pas.",
        "Je ne veux plus être mis en relation avec {person}.",
        "le tuteur proposé ({full}) habite à l'autre bout du pays",
        "Selon {given}, le poste sera supprimé en juin.",
        "On m'a répondu : voyez avec M. {family_upper}.",
        "Mlle {family} a annulé deux fois de suite",
        "Mon ancien chef, {full}, travaille là-bas, donc non.",
        "Merci {given} !",
        "salut c'est {lower}, je suis plus dispo",
        "jai parlé avec {lower} au téléphone et il a été désagréable",
        "Je connais personnellement {full}.",
        "Pas compatible avec {given} : nos emplois du temps diffèrent.",
        "Mentor absent ({given} {family_upper}), aucune excuse",
        "{family_upper} {given}, candidature numéro 12",
        "Le profil de {given} correspond bien à mes attentes.",
        "Avec {full}, j'ai beaucoup appris en trois semaines.",
        "Rappelez-moi au {phone} après 18h",
        "Num perso {phone}; pro {phone}",
        "Vous pouvez transférer mon CV à {email}",
        "{email} est la bonne adresse, pas {email} !",
        "IBAN du compte : {iban} (BIC non communiqué)",
        "Remboursement attendu sur {iban}",
        "CB {card}, expire en mars",
        "Sécurité sociale : {nir}",
        "immat. {nir} à la CPAM",
        "J'exerce en libéral, SIRET {siret}.",
        "RCS {siren} introuvable",
        "Mon adresse actuelle est {address}",
        "Déménagement prévu : {address} en janvier",
        "Logement situé à {postcode_town}.",
        "Candidat né le {birth}",
        "{birth} : c'est ma date de naissance",
        "plus d'infos : {url}",
        "mon compte {handle} est public",
        "Fait à {town}, {full}",
        "Je recommande {given} les yeux fermés.",
        "Est-ce que {given} pourrait me recontacter ?",
        "Aucune affinité avec {given}, dommage.",
    ],
    english=[
        "My personal number is {phone} and my address is {email}, thank you very much.",
        "Please refund {iban}; the card ending is {card} and nobody answers the emails.",
    ],
    plain=[
        "Le trajet {town} - {town} prend trop de temps",
        "Deux heures de train, merci bien",
        "{company} propose mieux",
        "Je n'ai pas le diplôme demandé",
        "Contrat de 24 heures par semaine seulement, payé {amount}",
        "Commande {reference} du 14 février 2025",
        "Ce Mentor Est Vraiment Formidable",
        "Poste d'Assistante de Direction à pourvoir à {town}",
        "L'entretien a duré 45 minutes. Ambiance froide.",
        "Je vise plutôt le secteur de la Santé ou de l'Éducation",
        "Formation AutoCAD exigée, je ne l'ai pas",
        "Bureau fermé le 24 décembre 2024",
        "J'attends une réponse de {company} avant de décider",
        "Pas de parking, pas de cantine, pas de tram",
        "IBAN ET RIB À FOURNIR AVANT JUIN",
        "Son mari travaille de nuit, Mars ou Avril serait mieux",
        "M. le préfet soutient le projet, Mme la doyenne aussi",
        "Contact : Standard. Tuteur : Personne pour le moment",
        "Très bien, Parfaitement adapté, Rien à dire",
    ],
    given=_comma("""
        Alphonse, Amadou, Ambre, Anouk, Archibald, Aurélien, Axelle, Aziza, Barnabé,
        Béatrice, Bilal, Camille, Cédric, Chimène, Christiane, Cyprien, Daouda, Delphine,
        Dimitri, Dounia, Élodie, Elouan, Emmanuelle, Étienne, Eulalie, Fabrice, Farid,
        Fatiha, Fernando, Frédérique, Gaëlle, Gérard, Giulia, Gontran, Hadrien, Hakim, Hugo,
        Idriss, Ilyana, Isabelle, Jacqueline, Jean-Marc, Joséphine, Juliette, Kader, Kelly,
        Lamine, Lassana, Laurence, Lila, Louis-Marie, Loup, Lydia, Madeleine, Mahault,
        Manon, Marcel, Mariam, Marie-Hélène, Mathéo, Maxime, Mehmet, Mélissande, Mireille,
        Nadège, Nicolas, Odette, Oksana, Patrice, Pénélope, Philippine, Régis, Renée, Ryad,
        Sacha, Salomé, Sana, Sélim, Sylvie, Tariq, Tiphaine, Ugo, Valentin, Véronique,
        William, Xavier, Yohann, Zineb, Perle-Marie, Maëlan, Oyana, Tressy, Djiby, Ngozi,
        Siwar, Hoël, Bérénice-Anne, Ludmilla, Thaïs, Vivien
    """),
    family=_comma("""
        Adjei, Albertini, Allard, Amrani, Aubert, Azoulay, Bailly, Barthélemy, Belmadi,
        Bertrand, Besnard, Blanchet, Bonnefoy, Boyer, Briand, Cheng, Cissé, Colin,
        Cordonnier, Coulibaly, Courtois, Dabrowski, de Almeida, de Fontenay, de la Cour,
        Descamps, Devaux, Dieng, Doumbia, Duchemin, Dupré, El Haddad, Evrard, Faure,
        Fischer, Fofana, Gaillard, Georges, Gillet, Guérin, Guichard, Hamon, Hernandez,
        Humbert, Imbert, Jacquet, Joubert, Kaddouri, Keïta, Kerguelen, Klein, Labbé,
        Lambert, Laporte, Launay, Le Corre, Le Guen, Le Meur, Leclerc, Legendre, Lemaître,
        Lévêque, Mahé, Maillard, Mallet, Marques, Mbaye, Mendy, Meunier, Michaud, Monnier,
        Navarro, Nkoulou, O'Brien, Ondoua, Paillard, Pelletier, Perez, Pineau, Poulain,
        Quillévéré, Ramdani, Regnier, Ribeiro, Roussel, Saïdi, Samson, Seck, Sissoko,
        Tessier, Thibaudeau, Tissot, Toussaint, Ung, Valette, Vidal, Vu Quoc, Weber, Xiong,
        Yildirim, Zemmouri, Bazin-Leroy, Chabrier, Dalmais, Escoffier, Fonlupt, Gatignol
    """),
    towns=_comma("""
        Grenoble, Montpellier, La Rochelle, Aix-en-Provence, Tourcoing, Quimper,
        Sartrouville
    """),
    streets=_comma("""
        rue Pasteur, avenue du Général Leclerc, place du Marché, quai des Célestins, route
        de Paris, sq. Marcel Pagnol, chem. du Stade
    """),
    companies=_comma("""
        Stellantis, Crédit Agricole, Atos, Safran, Boulanger, Auchan, BNP Paribas
    """),
    domains=_comma("""
        hotmail.fr, sfr.fr, icloud.com, mairie-exemple.fr, proton.me
    """),
    styles=(2,),
)
