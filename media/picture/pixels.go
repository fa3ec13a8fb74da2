package picture

// Pixels: the four layouts that decoded pictures are converted to (plain), turning them upright,
// and the choice of the format to store (kindOf).

import (
	"image"
	"image/color"
	"image/draw"
)

// plain returns m as one of *image.YCbCr, *image.Gray, *image.Paletted, *image.RGBA if it is
// opaque, and *image.NRGBA if it isn't, all of 8 bits a channel.
func plain(m image.Image) image.Image {
	switch m := m.(type) {
	case *image.YCbCr, *image.Gray, *image.Paletted:
		return m
	case *image.NRGBA:
		if m.Opaque() { // then both layouts have the same bytes, and JPEG's encoder is fast with this one
			return &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}
		}
		return m
	case interface{ Opaque() bool }:
		if m.Opaque() {
			return rgba(m.(image.Image))
		}
	}
	return nrgba(m, m.Bounds())
}

// nrgba returns the part of m within r, transparent outside of m.
func nrgba(m image.Image, r image.Rectangle) *image.NRGBA {
	to := image.NewNRGBA(r)
	draw.Draw(to, m.Bounds(), m, m.Bounds().Min, draw.Src)
	return to
}

func rgba(m image.Image) *image.RGBA {
	b := m.Bounds()
	if m, ok := m.(*image.RGBA); ok {
		return m
	}
	to := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(to, to.Rect, m, b.Min, draw.Src)
	return to
}

// turn returns m upright, with samples unchanged: an orientation of Exif is a mirroring, a quarter
// turn, or both.
func turn(m image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > 8 {
		return m
	}
	quarter := orientation > 4
	size := func(r image.Rectangle) image.Rectangle {
		if quarter {
			return image.Rect(0, 0, r.Dy(), r.Dx())
		}
		return image.Rect(0, 0, r.Dx(), r.Dy())
	}
	turned := func(from []byte, stride, w, h, n int) ([]byte, int) {
		return turnPlane(from, stride, w, h, n, orientation)
	}
	switch m := m.(type) {
	case *image.YCbCr:
		ratio, r := m.SubsampleRatio, m.Rect
		chroma := chromaSize(ratio, r)
		if quarter {
			swapped, ok := swappedRatios[ratio]
			if !ok { // sampled as by no camera
				return turn(rgba(m), orientation)
			}
			ratio = swapped
		}
		out := &image.YCbCr{SubsampleRatio: ratio, Rect: size(r)}
		out.Y, out.YStride = turned(m.Y[m.YOffset(r.Min.X, r.Min.Y):], m.YStride, r.Dx(), r.Dy(), 1)
		c := m.COffset(r.Min.X, r.Min.Y)
		out.Cb, out.CStride = turned(m.Cb[c:], m.CStride, chroma.X, chroma.Y, 1)
		out.Cr, _ = turned(m.Cr[c:], m.CStride, chroma.X, chroma.Y, 1)
		return out
	case *image.Gray:
		out := &image.Gray{Rect: size(m.Rect)}
		out.Pix, out.Stride = turned(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, m.Rect.Dx(), m.Rect.Dy(), 1)
		return out
	case *image.Paletted:
		out := &image.Paletted{Rect: size(m.Rect), Palette: m.Palette}
		out.Pix, out.Stride = turned(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, m.Rect.Dx(), m.Rect.Dy(), 1)
		return out
	case *image.NRGBA:
		out := &image.NRGBA{Rect: size(m.Rect)}
		out.Pix, out.Stride = turned(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, m.Rect.Dx(), m.Rect.Dy(), 4)
		return out
	case *image.RGBA:
		out := &image.RGBA{Rect: size(m.Rect)}
		out.Pix, out.Stride = turned(m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, m.Rect.Dx(), m.Rect.Dy(), 4)
		return out
	}
	return m
}

// swappedRatios are the ratios of a picture after a quarter turn.
var swappedRatios = map[image.YCbCrSubsampleRatio]image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444: image.YCbCrSubsampleRatio444,
	image.YCbCrSubsampleRatio420: image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio422: image.YCbCrSubsampleRatio440,
	image.YCbCrSubsampleRatio440: image.YCbCrSubsampleRatio422,
}

// chromaSize is the number of colour samples in r.
func chromaSize(ratio image.YCbCrSubsampleRatio, r image.Rectangle) image.Point {
	x, y := 1, 1
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		x = 2
	case image.YCbCrSubsampleRatio420:
		x, y = 2, 2
	case image.YCbCrSubsampleRatio440:
		y = 2
	case image.YCbCrSubsampleRatio411:
		x = 4
	case image.YCbCrSubsampleRatio410:
		x, y = 4, 2
	}
	return image.Pt((r.Dx()+x-1)/x, (r.Dy()+y-1)/y)
}

// turnPlane turns w × h samples of n bytes upright.
func turnPlane(from []byte, stride, w, h, n, orientation int) (to []byte, toStride int) {
	// The sample at x, y moves to start + x·dx + y·dy.
	tw := w
	if orientation > 4 {
		tw = h
	}
	right, down := n, n*tw
	var start, dx, dy int
	switch orientation {
	case 2: // mirrored
		start, dx, dy = (w-1)*right, -right, down
	case 3: // upside down
		start, dx, dy = (w-1)*right+(h-1)*down, -right, -down
	case 4: // upside down, mirrored
		start, dx, dy = (h-1)*down, right, -down
	case 5: // along the diagonal
		start, dx, dy = 0, down, right
	case 6: // a quarter to the right
		start, dx, dy = (h-1)*right, down, -right
	case 7: // along the other diagonal
		start, dx, dy = (h-1)*right+(w-1)*down, -down, -right
	case 8: // a quarter to the left
		start, dx, dy = (w-1)*down, -down, right
	}
	to = make([]byte, w*h*n)
	for y := range h {
		row, at := from[y*stride:y*stride+w*n], start+y*dy
		if n == 1 {
			for _, sample := range row {
				to[at] = sample
				at += dx
			}
			continue
		}
		for x := 0; x < len(row); x += n {
			copy(to[at:at+n], row[x:x+n])
			at += dx
		}
	}
	return to, n * tw
}

// fewColours is the number of colours up to which a picture counts as drawn: PNG then is sharper,
// and often smaller. Screenshots have some hundreds, photographs tens of thousands.
const fewColours = 1024

// kindOf chooses the format in which m is stored. It isn't called for a JPEG.
func kindOf(m image.Image) Kind {
	switch m := m.(type) {
	case *image.YCbCr:
		return JPEG
	case *image.RGBA:
		if !few(m.Pix) {
			return JPEG
		}
	}
	return PNG
}

// few reports whether pixels, of four bytes each, have few colours.
func few(pixels []byte) bool {
	seen := map[[4]byte]struct{}{}
	var last [4]byte
	for i := 0; i+4 <= len(pixels); i += 4 {
		c := [4]byte(pixels[i : i+4])
		if c == last && i > 0 {
			continue
		}
		last = c
		if seen[c] = struct{}{}; len(seen) > fewColours {
			return false
		}
	}
	return true
}

// rows reads a picture row by row as RGBA, the colours multiplied by their opacity.
func rows(m image.Image) func(y int, into []byte) {
	switch m := m.(type) {
	case *image.YCbCr:
		return func(y int, into []byte) {
			for x := range m.Rect.Dx() {
				yi, ci := m.YOffset(m.Rect.Min.X+x, m.Rect.Min.Y+y), m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
				r, g, b := color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci])
				into[4*x], into[4*x+1], into[4*x+2], into[4*x+3] = r, g, b, 255
			}
		}
	case *image.Gray:
		return func(y int, into []byte) {
			from := m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y+y):]
			for x := range m.Rect.Dx() {
				into[4*x], into[4*x+1], into[4*x+2], into[4*x+3] = from[x], from[x], from[x], 255
			}
		}
	case *image.Paletted:
		var colours [256][4]byte // an index beyond the palette has no colour
		for i, c := range m.Palette {
			r, g, b, a := c.RGBA()
			colours[i] = [4]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8), byte(a >> 8)}
		}
		return func(y int, into []byte) {
			from := m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y+y):]
			for x := range m.Rect.Dx() {
				copy(into[4*x:], colours[from[x]][:])
			}
		}
	case *image.NRGBA:
		return func(y int, into []byte) {
			from := m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y+y):]
			for i := 0; i < 4*m.Rect.Dx(); i += 4 {
				a := uint32(from[i+3])
				for c := range 3 {
					into[i+c] = byte((uint32(from[i+c])*a + 127) / 255)
				}
				into[i+3] = byte(a)
			}
		}
	case *image.RGBA:
		return func(y int, into []byte) {
			copy(into[:4*m.Rect.Dx()], m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y+y):])
		}
	}
	return nil
}
