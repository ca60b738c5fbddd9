package bench

import (
	"math"
	"slices"
)

// quantile is the value below which a share q of the values lies, interpolated between neighbours (Hyndman and Fan's
// definition 7, which R and NumPy use too); 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	at := q * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (at-float64(low))*(values[high]-values[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

func spread(values []float64) Spread {
	return Spread{
		Min: quantile(values, 0), P25: quantile(values, 0.25), P75: quantile(values, 0.75), Max: quantile(values, 1),
	}
}

// round keeps as many decimals as a measurement deserves.
func round(v float64, decimals int) float64 {
	unit := math.Pow(10, float64(decimals))
	return math.Round(v*unit) / unit
}
