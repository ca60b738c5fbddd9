package v4l2

import (
	"cmp"
	"slices"
	"unsafe"

	"vedette/capture"
)

// multiplanarCatalogue asks a camera of the multi-planar kind, which the library takes for none.
type multiplanarCatalogue struct{ device }

// catalogueOf opens the catalogue that fits a camera.
func (h host) catalogueOf(path string, kind bufType) (catalogue, error) {
	if kind != typeCaptureMulti {
		return h.openCatalogue(path)
	}
	d, err := h.openDevice(path)
	if err != nil {
		return nil, err
	}
	return multiplanarCatalogue{d}, nil
}

// The questions about what a device has are asked by number, until there is no answer.
const (
	reqListFormats   = 0xc0405602
	reqListSizes     = 0xc02c564a
	reqListIntervals = 0xc034564b
	reqAskControl    = 0xc0445624
	reqSetControl    = 0xc008561c
)

// A request's number carries the size of its argument: an index other than 0 does not compile.
var _ = [...]struct{}{
	[1]struct{}{}[unsafe.Sizeof(formatItem{})-reqListFormats>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(sizeItem{})-reqListSizes>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(intervalItem{})-reqListIntervals>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(controlItem{})-reqAskControl>>16&0x3fff],
	[1]struct{}{}[unsafe.Sizeof(controlValue{})-reqSetControl>>16&0x3fff],
}

// formatItem is struct v4l2_fmtdesc.
type formatItem struct {
	Index       uint32
	Type        bufType
	Flags       uint32
	Description [32]byte
	PixelFormat uint32
	_           [4]uint32
}

// itemDiscrete says that an item is one value; other types are ranges.
const itemDiscrete = 1

// sizeItem is struct v4l2_frmsizeenum. One size is the first two numbers; a range has width and height, each least, most,
// step.
type sizeItem struct {
	Index, PixelFormat, Type uint32
	Numbers                  [6]uint32
	_                        [2]uint32
}

// intervalItem is struct v4l2_frmivalenum. One interval is the first two numbers, a fraction of seconds.
type intervalItem struct {
	Index, PixelFormat, Width, Height, Type uint32
	Numbers                                 [6]uint32
	_                                       [2]uint32
}

// controlItem is struct v4l2_queryctrl.
type controlItem struct {
	ID                      uint32
	Type                    uint32
	Name                    [32]byte
	Min, Max, Step, Default int32
	Flags                   uint32
	_                       [2]uint32
}

// controlValue is struct v4l2_control.
type controlValue struct {
	ID    uint32
	Value int32
}

const (
	controlInteger  = 1
	controlBoolean  = 2
	controlMenu     = 3
	controlDisabled = 1 // a flag
	controlNext     = 0x80000000
)

func (m multiplanarCatalogue) formats() []PixelOffer {
	var offers []PixelOffer
	for i := range uint32(maxListed) {
		item := formatItem{Index: i, Type: typeCaptureMulti}
		if m.ioctl(reqListFormats, unsafe.Pointer(&item)) != nil {
			break
		}
		offers = append(offers, PixelOffer{
			Pixel: capture.PixelFormat(item.PixelFormat), Description: text(item.Description[:]), Sizes: m.sizes(item.PixelFormat),
		})
	}
	slices.SortFunc(offers, func(a, b PixelOffer) int { return cmp.Compare(a.Pixel.String(), b.Pixel.String()) })
	return offers
}

func (m multiplanarCatalogue) sizes(pixel uint32) []SizeOffer {
	var sizes []SizeOffer
	for i := range uint32(maxListed) {
		item := sizeItem{Index: i, PixelFormat: pixel}
		if m.ioctl(reqListSizes, unsafe.Pointer(&item)) != nil {
			break
		}
		n := item.Numbers
		offer := SizeOffer{Least: capture.Size{Width: int(n[0]), Height: int(n[1])}}
		offer.Most = offer.Least
		if item.Type != itemDiscrete {
			offer.Least = capture.Size{Width: int(n[0]), Height: int(n[3])}
			offer.Most = capture.Size{Width: int(n[1]), Height: int(n[4])}
		}
		offer.Rates = m.rates(pixel, offer.Most)
		sizes = append(sizes, offer)
		if item.Type != itemDiscrete {
			break // a range is the only item
		}
	}
	return sizes
}

func (m multiplanarCatalogue) rates(pixel uint32, size capture.Size) []float64 {
	var rates []float64
	for i := range uint32(maxListed) {
		item := intervalItem{Index: i, PixelFormat: pixel, Width: uint32(size.Width), Height: uint32(size.Height)}
		if m.ioctl(reqListIntervals, unsafe.Pointer(&item)) != nil || item.Type != itemDiscrete {
			break
		}
		if item.Numbers[0] > 0 {
			rates = append(rates, float64(item.Numbers[1])/float64(item.Numbers[0]))
		}
	}
	return rates
}

func (m multiplanarCatalogue) controls() []Control {
	kinds := map[uint32]ControlKind{controlInteger: ControlInteger, controlBoolean: ControlBoolean, controlMenu: ControlMenu}
	var controls []Control
	last := uint32(0)
	for range 8 * maxListed {
		item := controlItem{ID: last | controlNext}
		if m.ioctl(reqAskControl, unsafe.Pointer(&item)) != nil || item.ID <= last {
			break
		}
		last = item.ID
		kind, ok := kinds[item.Type]
		if !ok || item.Flags&controlDisabled != 0 {
			continue
		}
		controls = append(controls, Control{
			ID: item.ID, Name: controlName(text(item.Name[:])), Kind: kind, Min: item.Min, Max: item.Max, Step: item.Step,
		})
	}
	return controls
}

func (m multiplanarCatalogue) setControl(id uint32, value int32) error {
	c := controlValue{id, value}
	return m.ioctl(reqSetControl, unsafe.Pointer(&c))
}
