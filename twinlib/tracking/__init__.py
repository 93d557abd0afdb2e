"""MLflow: the store and its runs (`runs`), runs of twins (`twin`) and searches (`search`), tags of withdrawn tracks
(`exclusion_tags`) and of the tracks of a dataset (`tracks`), and the settings (`settings`).
"""
