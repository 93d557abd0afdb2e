from .handles import Addresses as Addresses
from .handles import CompiledModel as CompiledModel
from .handles import CompiledStream as CompiledStream
from .handles import CompiledTraining as CompiledTraining
from .handles import not_finite as not_finite
from .library import SWITCH as SWITCH
from .library import instruction_set as instruction_set
