from .comparison import comparison_page as comparison_page
from .evaluation_files import write_evaluation as write_evaluation
from .figures import draw_comparison as draw_comparison
from .probe_figures import draw_probe as draw_probe
from .report import inline_figure as inline_figure
from .report import read_figure as read_figure
from .report import report_page as report_page
from .summary import summary_table as summary_table
