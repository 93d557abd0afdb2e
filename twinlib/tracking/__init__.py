"""MLflow: the store and its runs (`runs`), those of twins (`twin`) and searches (`search`), what is told of withdrawn
tracks (`withdrawal`). What the user may choose is in `settings`.
"""
