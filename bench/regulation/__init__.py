"""Links between peaks and genes of a fitted method: tables, maps, bound peaks, figures."""
