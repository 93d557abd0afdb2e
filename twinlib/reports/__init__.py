"""Reports: figures, the page of a twin, the comparison of twins and their summary."""
