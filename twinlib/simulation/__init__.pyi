from .circuits import process_stream as process_stream
from .recorder import ground_truth as ground_truth
from .settings import Simulate as Simulate
from .settings import SimulatedClipper as SimulatedClipper
from .settings import SimulatedTransformer as SimulatedTransformer
from .simulate import simulate_take as simulate_take
