package track

import (
	"math"

	"vedette/infer"
)

// axis is the Kalman filter of one coordinate of a box: its value and its velocity, per second, with their covariance.
//
// The model is constant velocity with white noise acceleration, in continuous time (Bar-Shalom, Li, Kirubarajan, "Estimation
// with Applications to Tracking and Navigation", 2001, section 6.2.2): over dt, with acceleration noise of density q,
//
//	F = [1 dt; 0 1]   Q = q [dt³/3 dt²/2; dt²/2 dt]
//
// so that two steps are the same as one of their sum: a dropped frame changes nothing but the length of a step. Noises of the
// four coordinates are independent, as in BoT-SORT (Aharon, Orfaig, Bobrovsky, 2022, equations 1 to 6), so a box's filter of
// eight states falls apart into four of two.
type axis struct {
	x, v          float64
	pxx, pxv, pvv float64
}

func (a *axis) predict(dt, q float64) {
	a.x += a.v * dt
	a.pxx += dt*(2*a.pxv+dt*a.pvv) + q*dt*dt*dt/3
	a.pxv += dt*a.pvv + q*dt*dt/2
	a.pvv += q * dt
}

// correct takes a measurement of variance r (Kalman, 1960: K = P Hᵀ / (H P Hᵀ + R), here with H = [1 0]).
func (a *axis) correct(z, r float64) {
	s := a.pxx + r
	gainX, gainV := a.pxx/s, a.pxv/s
	missed := z - a.x
	a.x += gainX * missed
	a.v += gainV * missed
	a.pvv -= gainV * a.pxv
	a.pxv -= gainX * a.pxv
	a.pxx -= gainX * a.pxx
}

// Noises, as parts of the object's size, so that near and far objects are treated alike. The first is BoT-SORT's (section
// 3.1: 1/20 of width and height). The others are our own choice, on the scenes of quality_test.go: BoT-SORT's velocity noise of 1/160 of
// the size per frame, at 30 frames a second, would be a density of (30/160)² · 30 = 1.05 per s³, where we have the square of 0.5. An
// object's velocity is unknown at first: what crosses a camera's view on foot makes 1 to 2 of its own sizes a second.
const (
	noiseMeasured = 1.0 / 20
	noiseMotion   = 0.5
	noiseResize   = 0.1
	firstVelocity = 1.5
)

// motion is the filter of a box: of its centre and its size.
type motion struct {
	x, y, w, h axis
}

// least is the smallest side of a box that is reckoned with: none is divided by.
const least = 1e-4

// scale is the size that motion goes by, each way: a person walks sideways as fast as a car of the same length, whatever the
// box's own width.
func scale(w, h, aspect float64) (x, y float64) {
	y = max(h, w*aspect, least)
	return y / aspect, y
}

func newMotion(box infer.Box, aspect float64) motion {
	cx, cy, w, h := measures(box)
	sx, sy := scale(w, h, aspect)
	start := func(v, measured, velocity float64) axis {
		return axis{x: v, pxx: square(noiseMeasured * measured), pvv: square(velocity)}
	}
	return motion{
		x: start(cx, w, firstVelocity*sx), y: start(cy, h, firstVelocity*sy),
		w: start(w, w, noiseResize*w), h: start(h, h, noiseResize*h),
	}
}

// predict goes dt seconds ahead. The size of an object that is out of sight is kept.
func (m *motion) predict(dt, aspect float64, seen bool) {
	if !seen {
		m.w.v, m.h.v = 0, 0
	}
	w, h := max(m.w.x, least), max(m.h.x, least)
	sx, sy := scale(w, h, aspect)
	m.x.predict(dt, square(noiseMotion*sx))
	m.y.predict(dt, square(noiseMotion*sy))
	m.w.predict(dt, square(noiseResize*w))
	m.h.predict(dt, square(noiseResize*h))
}

func (m *motion) correct(box infer.Box) {
	cx, cy, w, h := measures(box)
	rx, ry := square(noiseMeasured*w), square(noiseMeasured*h)
	m.x.correct(cx, rx)
	m.y.correct(cy, ry)
	m.w.correct(w, rx)
	m.h.correct(h, ry)
}

// distance is the squared Mahalanobis distance of a box from where the object is thought to be.
func (m *motion) distance(box infer.Box) float64 {
	cx, cy, w, h := measures(box)
	rx, ry := square(noiseMeasured*w), square(noiseMeasured*h)
	of := func(a *axis, z, r float64) float64 { return square(z-a.x) / (a.pxx + r) }
	return of(&m.x, cx, rx) + of(&m.y, cy, ry) + of(&m.w, w, rx) + of(&m.h, h, ry)
}

// box is where the object is thought to be, not clipped to the frame.
func (m *motion) box() infer.Box {
	w, h := max(m.w.x, least)/2, max(m.h.x, least)/2
	return infer.Box{
		X1: float32(m.x.x - w), Y1: float32(m.y.x - h), X2: float32(m.x.x + w), Y2: float32(m.y.x + h),
	}
}

// doubt is one standard deviation of where the centre is, each way.
func (m *motion) doubt() (x, y float64) { return math.Sqrt(m.x.pxx), math.Sqrt(m.y.pxx) }

func measures(b infer.Box) (cx, cy, w, h float64) {
	x1, y1, x2, y2 := float64(b.X1), float64(b.Y1), float64(b.X2), float64(b.Y2)
	return (x1 + x2) / 2, (y1 + y2) / 2, max(x2-x1, least), max(y2-y1, least)
}

func square(v float64) float64 { return v * v }
