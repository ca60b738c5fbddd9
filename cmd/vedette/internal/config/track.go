package config

import (
	"maps"
	"slices"

	"vedette/capture"
	"vedette/infer"
	"vedette/track"
)

// Tracker is what a camera's tracker goes by. Prefix begins the ids of its objects: see track.NewPrefix.
func (c Config) Tracker(camera capture.Camera, prefix string) track.Options {
	o := track.Options{Config: c.Track, Thresholds: maps.Clone(c.Infer.Thresholds), Prefix: prefix}
	if o.Thresholds == nil {
		o.Thresholds = infer.DefaultConfig().Thresholds
	}
	for _, name := range slices.Sorted(maps.Keys(camera.Zones)) {
		z := camera.Zones[name]
		zone := track.Zone{
			Name: name, Polygon: polygon(z.Polygon), Overlap: z.Overlap, Labels: z.Labels, Inertia: z.Inertia, Dwell: z.MinDwell,
			Filters: map[string]track.Filter{},
		}
		for label, f := range z.Filters {
			zone.Filters[label] = track.Filter{
				Score: f.MinScore, MinArea: f.MinArea, MaxArea: f.MaxArea, MinAspect: f.MinAspect, MaxAspect: f.MaxAspect, Dwell: f.MinDwell,
			}
		}
		o.Zones = append(o.Zones, zone)
	}
	for _, name := range slices.Sorted(maps.Keys(camera.Lines)) {
		l := camera.Lines[name]
		o.Lines = append(o.Lines, track.Line{Name: name, From: point(l.From), To: point(l.To), Labels: l.Labels, Inertia: l.Inertia})
	}
	for _, part := range camera.Ignore {
		o.Ignored = append(o.Ignored, track.Ignored{Polygon: polygon(part.Polygon), Labels: part.Labels})
	}
	return o
}

func polygon(corners []capture.Point) track.Polygon {
	g := make(track.Polygon, 0, len(corners))
	for _, corner := range corners {
		g = append(g, point(corner))
	}
	return g
}

func point(p capture.Point) track.Point { return track.Point{X: float32(p[0]), Y: float32(p[1])} }
