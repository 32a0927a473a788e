"""Links between peaks and genes by a fitted method: tables, maps, bound peaks, figures."""
