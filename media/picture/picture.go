// Package picture makes of an uploaded file a picture that can be shown to everyone: known
// by what is in it, upright, without metadata, in several widths.
//
// What a file says of itself is held against bounds before anything is decoded. Decoding
// takes memory that is estimated beforehand and shared by all, and ends with its context.
//
// It may import problem. Entry points: New, Maker.Open.
package picture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"

	"stoa/problem"
)

// MaxSide is the longest side of a picture, in pixels.
const MaxSide = 16_384

// Bounds of what is decoded. Phones make pictures of 12 megapixels, the largest that are
// common 50 (8160 × 6120), which is what the first is for.
const (
	maxPixels = 52_000_000

	// memory is what all pictures that are being made may take together, in bytes. The
	// costliest common one, 50 megapixels as progressive JPEG, takes 480 MB.
	memory = 512 << 20

	// longest is for how long one may be made once it is its turn. 50 megapixels take some 5 s
	// (BenchmarkMake); a file made to be slow takes as long as it is given.
	longest = 20 * time.Second

	// maxWaiting is how many may wait for their turn. At a second each so many take 25 s on two
	// cores.
	maxWaiting = 50

	retryAfter = 10 * time.Second
)

// Options bound a Maker. The zero Options are good ones.
type Options struct {
	Memory     int64         // bytes; 0 for 512 MiB
	AtOnce     int           // 0 for GOMAXPROCS
	MaxWaiting int           // who may wait for a turn; 0 for 50
	Longest    time.Duration // 0 for 20 s
}

// Maker makes pictures, a few at a time. It is safe for concurrent use.
type Maker struct {
	memory     *semaphore.Weighted
	limit      int64
	turns      *semaphore.Weighted
	waiting    atomic.Int64
	maxWaiting int64
	longest    time.Duration
}

// New returns a Maker within o.
func New(o Options) *Maker {
	if o.Memory <= 0 {
		o.Memory = memory
	}
	if o.AtOnce <= 0 {
		o.AtOnce = runtime.GOMAXPROCS(0)
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = maxWaiting
	}
	if o.Longest <= 0 {
		o.Longest = longest
	}
	return &Maker{
		memory: semaphore.NewWeighted(o.Memory), limit: o.Memory, turns: semaphore.NewWeighted(int64(o.AtOnce)),
		maxWaiting: int64(o.MaxWaiting), longest: o.Longest,
	}
}

// Kind is how a picture is stored.
type Kind string

// The kinds there are: also what their names end with.
const (
	JPEG Kind = "jpg" // for what was photographed
	PNG  Kind = "png" // for what one can see through, and what has few colours
)

// Picture is one that was decoded. It isn't changed after that.
type Picture struct {
	Kind          Kind
	Width, Height int // pixels, upright
	image         image.Image
	ctx           context.Context // that it is made under
}

// Open decodes what is in file, from its start, and calls use with it: the picture is use's
// until it returns. It waits for its turn.
//
// Invalid when the file is no JPEG, PNG, GIF or WebP, when it is broken, or would take more
// pixels, memory or time than there is; Throttled when too many wait already; ctx's error
// when that ends. Of a GIF that moves it is the first picture.
func (m *Maker) Open(ctx context.Context, file io.ReadSeeker, use func(*Picture) error) error {
	h, err := inspect(file)
	if err != nil {
		return err
	}
	cost := h.cost()
	if cost > m.limit {
		return problem.New(problem.Invalid, "the picture of %d × %d pixels would take %d MB to read, which may be %d at most: make it smaller, or save it as baseline JPEG", h.width, h.height, cost>>20, m.limit>>20)
	}
	leave, err := m.enter(ctx, cost)
	if err != nil {
		return err
	}
	defer leave()
	limited, cancel := context.WithTimeoutCause(ctx, m.longest, errTooSlow)
	defer cancel()
	p, err := decode(limited, file, h)
	if err == nil {
		err = use(p)
	}
	if err != nil && ctx.Err() == nil && context.Cause(limited) == errTooSlow { // it is never wrapped
		return problem.New(problem.Invalid, "the picture took longer than %s to read: save it anew, in fewer pixels", m.longest)
	}
	return err
}

var errTooSlow = errors.New("the picture took too long")

// enter waits until there is memory for a picture and a turn.
func (m *Maker) enter(ctx context.Context, cost int64) (leave func(), err error) {
	defer m.waiting.Add(-1)
	if m.waiting.Add(1) > m.maxWaiting {
		return nil, problem.New(problem.Throttled, "too many pictures are being made at this moment: try again in a few seconds").After(retryAfter)
	}
	if err := m.turns.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait to make a picture: %w", err)
	}
	if err := m.memory.Acquire(ctx, cost); err != nil {
		m.turns.Release(1)
		return nil, fmt.Errorf("wait to make a picture: %w", err)
	}
	return func() { m.memory.Release(cost); m.turns.Release(1) }, nil
}

// decode reads the picture that h was read from.
func decode(ctx context.Context, file io.ReadSeeker, h header) (*Picture, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	reader := &lasting{ctx: ctx, reader: file}
	decoded, err := h.format.decode(reader)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read a picture: %w", ctx.Err())
	case reader.err != nil:
		return nil, fmt.Errorf("read a picture: %w", reader.err)
	case err != nil:
		return nil, problem.New(problem.Invalid, "the file is no whole %s: %.100s", h.format.name, err)
	}
	if h.format.name == gifFormat.name { // whose first picture may cover only a part
		if whole := image.Rect(0, 0, h.width, h.height); decoded.Bounds() != whole {
			decoded = nrgba(decoded, whole)
		}
	}
	if b := decoded.Bounds(); b.Dx() != h.width || b.Dy() != h.height {
		return nil, problem.New(problem.Invalid, "the file is no whole %s: it says that it has %d × %d pixels, and has %d × %d", h.format.name, h.width, h.height, b.Dx(), b.Dy())
	}
	p := &Picture{image: turn(plain(decoded), h.turn), ctx: ctx}
	p.Width, p.Height = p.image.Bounds().Dx(), p.image.Bounds().Dy()
	p.Kind = JPEG
	if h.format.name != jpegFormat.name {
		p.Kind = kindOf(p.image)
	}
	return p, nil
}

// lasting reads while a context lasts, a little at a time: a decoder that does much for each
// byte looks at the time as often. A progressive JPEG can name a whole picture to pass over
// in fifty bytes.
type lasting struct {
	ctx    context.Context
	reader io.Reader
	err    error // of the reader itself
}

const readAtOnce = 1 << 10

func (l *lasting) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.reader.Read(p[:min(len(p), readAtOnce)])
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// quality is where JPEG's artefacts can hardly be seen: the 85 that Lighthouse holds
// pictures against (developer.chrome.com, "Efficiently encode images").
const quality = 85

// Write writes p as its Kind has it, without any metadata.
func (p *Picture) Write(to io.Writer) error {
	w := &lastingWriter{ctx: p.ctx, writer: to}
	var err error
	if p.Kind == JPEG {
		err = jpeg.Encode(w, p.image, &jpeg.Options{Quality: quality})
	} else {
		err = png.Encode(w, p.image)
	}
	if err != nil {
		return fmt.Errorf("write a picture: %w", err)
	}
	return nil
}

type lastingWriter struct {
	ctx    context.Context
	writer io.Writer
}

func (l *lastingWriter) Write(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.writer.Write(p)
}

// format is one that is taken.
type format struct {
	name   string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var (
	jpegFormat = format{"JPEG", jpeg.DecodeConfig, jpeg.Decode}
	pngFormat  = format{"PNG", png.DecodeConfig, png.Decode}
	gifFormat  = format{"GIF", gif.DecodeConfig, gif.Decode}
	webpFormat = format{"WebP", webp.DecodeConfig, webp.Decode}
)
