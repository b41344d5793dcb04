"""What is known of a model's safety mechanisms, a module a study: refusal, features, comparison, jailbreak.

A leaf beside `findings`: every table and file about safety is rendered from these records.
"""

from .comparison import CatalogueComparison, ConceptChange, Fate, FeatureChange
from .features import CatalogueDictionary, ConceptResult, SafetyCatalogue, SafetyFeature
from .jailbreak import FeatureShift, JailbreakStudy, Restoration, TokenTrace
from .rate import Rate
from .refusal import DirectionCandidate, OrdinaryLoss, Orthogonalised, RefusalStudy

__all__ = [
    "CatalogueComparison",
    "CatalogueDictionary",
    "ConceptChange",
    "ConceptResult",
    "DirectionCandidate",
    "Fate",
    "FeatureChange",
    "FeatureShift",
    "JailbreakStudy",
    "OrdinaryLoss",
    "Orthogonalised",
    "Rate",
    "RefusalStudy",
    "Restoration",
    "SafetyCatalogue",
    "SafetyFeature",
    "TokenTrace",
]
