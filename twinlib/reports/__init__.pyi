from .comparison import render_comparison as render_comparison
from .evaluation_files import write_evaluation as write_evaluation
from .figures import draw_comparison as draw_comparison
from .probe_figures import draw_probe as draw_probe
from .summary import format_summary as format_summary
from .twin_page import inline_figure as inline_figure
from .twin_page import read_figure as read_figure
from .twin_page import render_twin_page as render_twin_page
