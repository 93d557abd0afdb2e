from .settings import Simulate as Simulate
from .settings import SimulatedClipper as SimulatedClipper
from .settings import SimulatedTransformer as SimulatedTransformer
from .simulate import simulate_take as simulate_take
from .simulate import truth as truth
