// Package picture turns an uploaded file into a picture fit for everyone: its format found from its
// content, upright, without metadata, in several widths.
//
// The header of a file is checked against bounds before anything is decoded. The memory of decoding
// is estimated first and shared by all pictures, and decoding ends with its context.
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

// Bounds of a picture. The phones of most people make pictures of 12 megapixels; the largest common
// ones have 50 (8160 × 6120), and the first bound admits these.
const (
	maxPixels = 52_000_000

	// memory is the limit for all pictures in progress together, in bytes. The costliest common
	// picture, 50 megapixels as progressive JPEG, takes 480 MB.
	memory = 512 << 20

	// longest bounds the time for one picture, from the beginning of its turn. 50 megapixels take
	// some 5 s (BenchmarkMake); a file made to be slow takes all the time it gets.
	longest = 20 * time.Second

	// maxWaiting is the number of pictures that may wait for a turn. At a second each so many take
	// 25 s on one core.
	maxWaiting = 25

	retryAfter = 10 * time.Second
)

// Options bound a Maker. The zero Options are good defaults.
type Options struct {
	Memory     int64         // bytes; 0 for 512 MiB
	AtOnce     int           // 0 for GOMAXPROCS less one, so that a processor is left to others
	MaxWaiting int           // pictures that may wait for a turn; 0 for 25
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
		o.AtOnce = max(runtime.GOMAXPROCS(0)-1, 1)
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

// Kind is the format of a stored picture.
type Kind string

// The kinds, also the endings of file names.
const (
	JPEG Kind = "jpg" // for photographs
	PNG  Kind = "png" // for pictures with transparency or few colours
)

// Picture is a decoded picture. It isn't changed after that.
type Picture struct {
	Kind          Kind
	Width, Height int // pixels, upright
	image         image.Image
	ctx           context.Context // of the call that makes it
}

// Open decodes file, from its start, and calls use with the picture; it is valid until use returns.
// Open waits for its turn. Before that it calls consume with the pixels of the work, by which the caller
// may refuse it: see header.work.
//
// Invalid if the file is no JPEG, PNG, GIF or WebP, is broken, or would exceed the limits of
// pixels, memory or time; Throttled if too many wait already; ctx's error if that ends. An animated
// GIF gives its first picture.
func (m *Maker) Open(ctx context.Context, file io.ReadSeeker, consume func(pixels int64) error, use func(*Picture) error) error {
	h, err := inspect(file)
	if err != nil {
		return err
	}
	cost := h.cost()
	if cost > m.limit {
		return problem.New(problem.Invalid, "the picture of %d × %d pixels would take %d MB to read, and the limit is %d: make it smaller, or save it as baseline JPEG", h.width, h.height, cost>>20, m.limit>>20)
	}
	if err := consume(h.work()); err != nil {
		return err
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
	if err != nil && ctx.Err() == nil && context.Cause(limited) == errTooSlow { // errTooSlow itself: no one wraps it
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

// decode reads the picture of the header h.
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
	if h.format.name == gifFormat.name { // its first picture may cover only a part of the canvas
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

// lasting reads while a context lasts, in small pieces: a decoder that does much work for each byte
// then checks the context often enough. A progressive JPEG can have a scan over the whole picture
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

// quality is the JPEG quality at which artefacts can hardly be seen: the 85 that Lighthouse
// compares pictures with (developer.chrome.com, "Efficiently encode images").
const quality = 85

// Write writes p in the format of its Kind, without any metadata.
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

// format is a file format that is accepted.
type format struct {
	name   string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

var (
	jpegFormat = format{"JPEG", jpeg.DecodeConfig, func(r io.Reader) (image.Image, error) { return jpeg.Decode(endJPEG(r)) }}
	pngFormat  = format{"PNG",
		func(r io.Reader) (image.Config, error) { return png.DecodeConfig(&plainPNG{from: r}) },
		func(r io.Reader) (image.Image, error) { return png.Decode(&plainPNG{from: r}) },
	}
	gifFormat  = format{"GIF", gif.DecodeConfig, gif.Decode}
	webpFormat = format{"WebP", webp.DecodeConfig, webp.Decode}
)
