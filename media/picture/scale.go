package picture

// Scaling: every pixel of a smaller picture is the mean of the pixels that it covers in the larger
// one, in proportion to the parts covered. All widths are made in one walk down the rows, so beside
// the results it takes memory for a few rows only. CatmullRom in x/image/draw stores 32 bytes for
// each pixel of the new width times the old height: 490 MB for one width of a 50 megapixel picture.

import (
	"fmt"
	"image"
)

// Widths are the widths, in pixels, in which a wider picture is made: for phones of 320 to 430
// points with two or three pixels a point, and pages of up to 1,280 points with one or two.
var Widths = []int{320, 640, 960, 1280, 1920, 2560}

// Smaller returns p in each of Widths below its own, the smallest first.
func (p *Picture) Smaller() ([]*Picture, error) {
	var all []*scaler
	from := &scaler{width: p.Width, height: p.Height}
	for i := len(Widths) - 1; i >= 0; i-- {
		if w := Widths[i]; w < p.Width {
			// A picture of twice the width gives the same mean from fewer pixels.
			source := from
			for _, larger := range all {
				if larger.width == 2*w {
					source = larger
				}
			}
			s := newScaler(w, max(1, (p.Height*w+p.Width/2)/p.Width), source, p.Kind)
			source.into = append(source.into, s)
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	read, row := rows(p.image), make([]byte, 4*p.Width)
	for y := range p.Height {
		if y%64 == 0 {
			if err := p.ctx.Err(); err != nil {
				return nil, fmt.Errorf("scale a picture: %w", err)
			}
		}
		read(y, row)
		for _, s := range from.into {
			s.add(row)
		}
	}
	out := make([]*Picture, len(all))
	for i, s := range all {
		out[len(all)-1-i] = &Picture{Kind: p.Kind, Width: s.width, Height: s.height, image: s.image(), ctx: p.ctx}
	}
	return out, nil
}

// scaler makes one smaller picture out of the rows of a larger one.
type scaler struct {
	width, height int
	into          []*scaler // scalers that take their rows from this one
	kind          Kind

	columns []span    // by column of the source
	rows    int       // of the source
	taken   int       // read so far
	ratio   float64   // rows for each row of the source
	sum     []float32 // of the row under way
	pixels  []byte    // RGBA, multiplied by opacity
	done    int       // rows finished
}

// span is the target of a source column: the first column, and the parts that go there and into the
// next.
type span struct {
	column    int32
	here, ext float32
}

func newScaler(width, height int, source *scaler, kind Kind) *scaler {
	s := &scaler{
		width: width, height: height, kind: kind, columns: make([]span, source.width), rows: source.height, ratio: float64(height) / float64(source.height),
		sum: make([]float32, 4*width), pixels: make([]byte, 4*width*height),
	}
	ratio := float64(width) / float64(source.width)
	for x := range s.columns {
		column, here, ext := split(x, ratio, width)
		s.columns[x] = span{int32(column), float32(here), float32(ext)}
	}
	return s
}

// split returns the target of the i-th row or column of the source.
func split(i int, ratio float64, most int) (to int, here, ext float64) {
	begin, end := float64(i)*ratio, float64(i+1)*ratio
	to = min(int(begin), most-1)
	here = min(end, float64(to+1)) - begin
	ext = end - begin - here
	if to == most-1 { // the remainder of rounding
		here, ext = here+ext, 0
	}
	return to, here, ext
}

// add takes the next row of the source.
func (s *scaler) add(row []byte) {
	to, here, ext := split(s.taken, s.ratio, s.height)
	s.taken++
	if to > s.done {
		s.finish()
	}
	s.weigh(row, float32(here))
	if ext > 0 {
		s.finish()
		s.weigh(row, float32(ext))
	}
	if s.taken == s.rows {
		s.finish()
	}
}

// weigh adds a share of an input row, 0 to 1, to the output row in progress.
func (s *scaler) weigh(row []byte, part float32) {
	if part <= 0 {
		return
	}
	sum := s.sum
	for x, c := range s.columns {
		from, to := row[4*x:4*x+4:4*x+4], sum[4*c.column:]
		weight := c.here * part
		to[0] += weight * float32(from[0])
		to[1] += weight * float32(from[1])
		to[2] += weight * float32(from[2])
		to[3] += weight * float32(from[3])
		if c.ext > 0 {
			weight, to = c.ext*part, to[4:]
			to[0] += weight * float32(from[0])
			to[1] += weight * float32(from[1])
			to[2] += weight * float32(from[2])
			to[3] += weight * float32(from[3])
		}
	}
}

// finish ends a row and hands it on.
func (s *scaler) finish() {
	row := s.pixels[4*s.width*s.done : 4*s.width*(s.done+1)]
	for i, v := range s.sum {
		row[i] = byte(min(max(v+0.5, 0), 255))
	}
	clear(s.sum)
	s.done++
	for _, smaller := range s.into {
		smaller.add(row)
	}
}

// image is the result, after the last row.
func (s *scaler) image() image.Image {
	rect := image.Rect(0, 0, s.width, s.height)
	if s.kind == JPEG {
		return &image.RGBA{Pix: s.pixels, Stride: 4 * s.width, Rect: rect}
	}
	for i := 0; i < len(s.pixels); i += 4 {
		a := uint32(s.pixels[i+3])
		if a == 0 || a == 255 {
			continue
		}
		for c := range 3 {
			s.pixels[i+c] = byte(min((uint32(s.pixels[i+c])*255+a/2)/a, 255))
		}
	}
	return &image.NRGBA{Pix: s.pixels, Stride: 4 * s.width, Rect: rect}
}
