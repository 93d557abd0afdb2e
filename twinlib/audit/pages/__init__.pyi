from .card import card_html as card_html
from .card import card_markdown as card_markdown
from .card_figures import card_figures as card_figures
from .render import render_text as render_text
