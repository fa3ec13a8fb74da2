// Package media has the pictures that people upload: it makes them fit for everyone, stores them,
// and finds them again by their addresses.
//
// A picture's blobs are written before its document, the widest blob last, and their names follow
// from their content. So an upload that is interrupted leaves no name without a whole blob, and a
// repeated one writes the same.
//
// It may import access, id, problem, rate, store and its own sub-packages. Entry points: Open, and
// Upload, Import, Cover, URL and Serve of Pictures.
package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"stoa/access"
	"stoa/id"
	"stoa/media/blob"
	"stoa/media/picture"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
)

const (
	// MaxBytes is the size of the largest file accepted: a photograph of 50 megapixels as JPEG has
	// 10 to 20 MB.
	MaxBytes = 20 << 20

	// MaxAlt is the longest text in place of a picture, in characters. Screen readers don't
	// let people skip within it; guides ask for 150 at most.
	MaxAlt = 500

	// Path begins the addresses of pictures.
	Path = "/media/"
)

// Options are the place of the pictures, their addresses, and the limits of making them.
type Options struct {
	Store *store.Store
	// Location is the place of the blobs: see blob.Open.
	Location string
	// Base precedes Path in addresses: a CDN or the API's own origin, without a final slash; "" for
	// paths.
	Base string
	// Picture bounds the memory and time for making pictures.
	Picture picture.Options
	// Limiter bounds the pixels of an account's uploads.
	Limiter *rate.Limiter
}

// Pictures has all uploaded pictures. It is safe for concurrent use.
type Pictures struct {
	store *store.Store
	blobs blob.Store
	maker *picture.Maker
	limit *rate.Limiter
	base  string
}

// Open returns the pictures at o.Location, or an error about the location.
func Open(o Options) (*Pictures, error) {
	blobs, err := blob.Open(o.Location)
	if err != nil {
		return nil, err
	}
	return &Pictures{store: o.Store, blobs: blobs, maker: picture.New(o.Picture), limit: o.Limiter, base: o.Base}, nil
}

// CheckLocation returns an error for a malformed location. It doesn't access the location, so a valid
// one may still not exist.
func CheckLocation(location string) error {
	_, err := blob.Open(location)
	return err
}

// Upload stores a picture, for authors: once for an idempotency key, if there is one. Invalid if
// the file is no picture, is too large, or the text is too long.
func (p *Pictures) Upload(ctx context.Context, file io.ReadSeeker, alt string, key *string) (*store.Image, error) {
	v, err := access.Require(ctx, access.Author)
	if err != nil {
		return nil, err
	}
	alt, err = checkAlt(alt)
	if err != nil {
		return nil, err
	}
	sum, err := fingerprint(file)
	if err != nil {
		return nil, err
	}
	at := store.Now()
	as := id.At(id.Image, at)
	if key != nil {
		record := store.IdempotencyRecord{Caller: string(v.Account), Key: *key, Mutation: "imageUpload", Input: []string{sum, alt}}
		if at, err = p.store.RecordIdempotency(ctx, record); err != nil {
			return nil, err
		}
		as = id.Derived(id.Image, at, record.Seed())
		there, err := p.find(ctx, as)
		if err == nil || !problem.Is(err, problem.NotFound) {
			return there, err
		}
	}
	made, err := p.keep(ctx, file, func(work int64) error { return p.consume(ctx, v.Account, work) })
	if err != nil {
		return nil, err
	}
	made.ID, made.Alt, made.OwnerID, made.CreatedAt = as, alt, v.Account, at
	err = p.store.AddPicture(ctx, made)
	if key != nil && problem.Is(err, problem.Conflict) { // an equal call was faster
		return p.find(ctx, as)
	}
	if err != nil {
		return nil, err
	}
	return made.Image(), nil
}

// Import stores a picture of an import, without a viewer and a rate: for the command of an
// administrator. Equal files become one picture, in this import and in later ones; its alt is that
// of the first use. address is the path of the widest picture, without Base. A dry import only finds
// pictures that are there. Invalid for the same files as Upload; NotFound for a new file in a dry
// import.
func (p *Pictures) Import(ctx context.Context, file io.ReadSeeker, alt string, dry bool) (i *store.Image, address string, err error) {
	sum, err := fingerprint(file)
	if err != nil {
		return nil, "", err
	}
	as := id.Derived(id.Image, time.UnixMilli(0), "import "+sum)
	there, err := store.Pictures.Now(ctx, p.store, []id.ID{as})
	if err != nil {
		return nil, "", err
	}
	if len(there) == 0 && dry {
		return nil, "", problem.New(problem.NotFound, "the picture isn't imported yet")
	}
	if len(there) == 0 {
		made, err := p.keep(ctx, file, func(int64) error { return nil })
		if err != nil {
			return nil, "", err
		}
		alt = strings.Join(strings.Fields(alt), " ")
		if utf8.RuneCountInString(alt) > MaxAlt {
			alt = string([]rune(alt)[:MaxAlt])
		}
		made.ID, made.Alt, made.CreatedAt = as, alt, store.Now()
		if err := p.store.AddPicture(ctx, made); err != nil && !problem.Is(err, problem.Conflict) {
			return nil, "", err
		}
		there = []*store.Picture{made}
	}
	i = there[0].Image()
	return i, Path + nameOf(i.Name, i.Width, picture.Kind(i.Format)), nil
}

func (p *Pictures) find(ctx context.Context, picture id.ID) (*store.Image, error) {
	found, err := p.store.Pictures(ctx, []id.ID{picture})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such picture")
	}
	return found[0].Image(), nil
}

// Cover returns an uploaded picture in the form that an article stores. It is for the author that
// uploaded it, and for editors. A nil alt means the picture's own text. NotFound if the viewer may
// use no such picture.
func (p *Pictures) Cover(ctx context.Context, picture id.ID, alt *string) (*store.Image, error) {
	cover, err := p.find(ctx, picture)
	if err != nil {
		return nil, err
	}
	if alt != nil {
		if cover.Alt, err = checkAlt(*alt); err != nil {
			return nil, err
		}
	}
	return cover, nil
}

// checkAlt returns a text in the form in which it is stored.
func checkAlt(alt string) (string, error) {
	alt = strings.Join(strings.Fields(alt), " ")
	if n := utf8.RuneCountInString(alt); n > MaxAlt {
		return "", problem.New(problem.Invalid, "alt takes %d characters at most, not %d", MaxAlt, n).At("alt")
	}
	return alt, nil
}

// fingerprint reads all of file, which may be MaxBytes.
func fingerprint(file io.ReadSeeker) (string, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read an upload: %w", err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return "", fmt.Errorf("read an upload: %w", err)
	}
	if n > MaxBytes {
		return "", problem.New(problem.Invalid, "the file is larger than the %d MiB that are taken", MaxBytes>>20).At("file")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// pixels bounds the work for pictures of one account, in thousands of pixels: 400 megapixels at once,
// some 30 photographs of a phone, and 2 megapixels a second, a seventh of a processor.
var pixels = rate.Limit{Burst: 400_000, Per: 500 * time.Microsecond}

// consume takes the work for a picture out of an account's rate.
func (p *Pictures) consume(ctx context.Context, account id.ID, work int64) error {
	cost := work/1000 + 1
	if cost > int64(pixels.Burst) {
		return problem.New(problem.Invalid, "the picture has so many scans that it would take too long to read: save it anew, as baseline JPEG")
	}
	wait, err := p.limit.Take(ctx, "pixels/"+string(account), pixels, int(cost))
	if err != nil {
		return fmt.Errorf("count pixels: %w", err)
	}
	if wait > 0 {
		return problem.TooMuch("these are too many pictures at once", wait)
	}
	return nil
}

// keep makes the pictures of a file and writes the blobs that are missing. consume may refuse the work
// for it.
func (p *Pictures) keep(ctx context.Context, file io.ReadSeeker, consume func(work int64) error) (*store.Picture, error) {
	var kept *store.Picture
	err := p.maker.Open(ctx, file, consume, func(whole *picture.Picture) error {
		var content bytes.Buffer
		if err := whole.Write(&content); err != nil {
			return err
		}
		sum := sha256.Sum256(content.Bytes())
		kept = &store.Picture{
			Name: hex.EncodeToString(sum[:]), Format: string(whole.Kind), Width: whole.Width, Height: whole.Height, Bytes: int64(content.Len()),
		}
		for _, w := range picture.Widths {
			if w < whole.Width {
				kept.Widths = append(kept.Widths, w)
			}
		}
		kept.Widths = append(kept.Widths, whole.Width)
		// The whole picture is written last: if it is there, all are.
		there, err := p.blobs.Has(ctx, nameOf(kept.Name, whole.Width, whole.Kind))
		if err != nil || there {
			return err
		}
		smaller, err := whole.Smaller()
		if err != nil {
			return err
		}
		var scaled bytes.Buffer
		for _, s := range smaller {
			scaled.Reset()
			if err := s.Write(&scaled); err != nil {
				return err
			}
			if err := p.put(ctx, kept.Name, s, scaled.Bytes()); err != nil {
				return err
			}
		}
		return p.put(ctx, kept.Name, whole, content.Bytes())
	})
	var refused *problem.Error
	if errors.As(err, &refused) && len(refused.Path) == 0 && refused.Code == problem.Invalid {
		return nil, refused.At("file")
	}
	return kept, err
}

func (p *Pictures) put(ctx context.Context, name string, s *picture.Picture, content []byte) error {
	return p.blobs.Put(ctx, nameOf(name, s.Width, s.Kind), types[s.Kind], content)
}

// types are the media types of kinds.
var types = map[picture.Kind]string{picture.JPEG: "image/jpeg", picture.PNG: "image/png"}

// nameOf is the name of one width of a picture, as a blob and in its address.
func nameOf(name string, width int, kind picture.Kind) string {
	return name + "-" + strconv.Itoa(width) + "." + string(kind)
}

// URL returns the address of a picture: of an uploaded one the narrowest that is at least as wide
// as asked, or else the widest; the whole picture without a width. Invalid for less than one pixel.
func (p *Pictures) URL(i *store.Image, width *int) (string, error) {
	if width != nil && *width < 1 {
		return "", problem.New(problem.Invalid, "width takes 1 or more pixels, not %d", *width).At("width")
	}
	if i.Name == "" || len(i.Widths) == 0 {
		return i.URL, nil
	}
	is := i.Widths[len(i.Widths)-1]
	if width != nil {
		for _, w := range i.Widths {
			if w >= *width {
				is = w
				break
			}
		}
	}
	return p.base + Path + nameOf(i.Name, is, picture.Kind(i.Format)), nil
}

// Serve opens the picture of a name, the part of an address after Path; the caller closes it.
// NotFound for an unknown name. An invalid name is refused before the blobs are asked.
func (p *Pictures) Serve(ctx context.Context, name string) (content *blob.Blob, contentType string, err error) {
	kind, ok := parseName(name)
	if !ok {
		return nil, "", problem.New(problem.NotFound, "there is no such picture")
	}
	content, err = p.blobs.Open(ctx, name)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, "", problem.New(problem.NotFound, "there is no such picture")
	}
	return content, types[kind], err
}

// parseName returns the kind in a name. ok is false if nameOf can't have made the name.
func parseName(name string) (picture.Kind, bool) {
	sum, rest, _ := strings.Cut(name, "-")
	width, kind, _ := strings.Cut(rest, ".")
	if len(sum) != 2*sha256.Size || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", false
	}
	if n, err := strconv.Atoi(width); err != nil || n < 1 || n > maxWidth || strconv.Itoa(n) != width {
		return "", false
	}
	_, ok := types[picture.Kind(kind)]
	return picture.Kind(kind), ok
}

// maxWidth is the width of the widest possible picture.
const maxWidth = picture.MaxSide
