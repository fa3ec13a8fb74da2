package upload

// The body of a multipart request: newForm, form.envelope for its first parts, form.readFiles for
// the files, which lie in memory or on the disk (spool).

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
)

// form is the body of a multipart request.
type form struct {
	parts   *multipart.Reader
	meter   *meter
	maxBody int64
	maxFile int64
	files   map[string]*spool // by the name of their part
	read    map[string]bool
}

func newForm(body io.Reader, boundary string, maxBody, maxFile int64) *form {
	m := &meter{reader: body}
	return &form{parts: multipart.NewReader(m, boundary), meter: m, maxBody: maxBody, maxFile: maxFile, files: map[string]*spool{}, read: map[string]bool{}}
}

// meter reads no more than it is allowed to: mime/multipart bounds headers to 10 MiB only.
type meter struct {
	reader io.Reader
	left   int64
}

var errMeter = errors.New("more came than is allowed here")

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errMeter
	}
	n, err := m.reader.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// next returns the next part, io.EOF after the last.
func (f *form) next() (*multipart.Part, error) {
	f.meter.left = partHeader
	return f.parts.NextRawPart()
}

// text reads the part that must come next.
func (f *form) text(name string, most int64) ([]byte, error) {
	part, err := f.next()
	if err == nil && part.FormName() != name {
		return nil, refusal.New(refusal.BadRequest, "%q must come before all that follows it: the parts are operations, map, and then the files", name)
	}
	var content []byte
	if err == nil {
		f.meter.left = most + partHeader
		content, err = io.ReadAll(io.LimitReader(part, most+1))
	}
	if err != nil {
		return nil, brokenForm(err)
	}
	if int64(len(content)) > most {
		return nil, refusal.New(refusal.PayloadTooLarge, "%s is larger than the %d bytes that are taken", name, most)
	}
	return content, nil
}

// brokenForm returns the error for a body that can't be read any further.
func brokenForm(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return formTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal.New(refusal.RequestTimeout, "the body didn't arrive in time")
	case errors.Is(err, errMeter):
		return refusal.New(refusal.PayloadTooLarge, "there are more than %d bytes between the contents of two parts", partHeader)
	default:
		return refusal.New(refusal.BadRequest, "the body is no whole multipart/form-data")
	}
}

// envelope reads the envelope and the map, and puts into the variables files that are yet to
// be read.
func (f *form) envelope(parse func([]byte) (*envelope.Envelope, error)) (*envelope.Envelope, error) {
	operations, err := f.text("operations", f.maxBody)
	if err != nil {
		return nil, err
	}
	asked, err := parse(operations)
	if err != nil {
		return nil, err
	}
	text, err := f.text("map", maxMap)
	if err != nil {
		return nil, err
	}
	paths, err := parseMap(text)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		file := &spool{}
		if err := place(asked.Variables, paths[name], graphql.Upload{File: file}); err != nil {
			return nil, err
		}
		f.files[name] = file
	}
	return asked, nil
}

// parseMap reads the places of files: {"0": ["variables.input.file"]}. Each file goes to
// one place.
func parseMap(text []byte) (map[string]string, error) {
	const example = `{"0": ["variables.input.file"]}`
	if err := envelope.Bound(text); err != nil {
		return nil, err
	}
	paths := map[string]string{}
	err := envelope.Object(text, func(name string, value json.RawMessage) error {
		var to []string
		err := json.Unmarshal(value, &to)
		switch _, twice := paths[name]; {
		case err != nil:
			return envelope.ErrMember
		case twice:
			return refusal.New(refusal.BadRequest, "map has the file %.40q twice", name)
		case len(to) != 1:
			return refusal.New(refusal.BadRequest, "map has %d places for the file %.40q: send it for one", len(to), name)
		case len(paths) == maxFiles:
			return refusal.New(refusal.PayloadTooLarge, "map has more than %d files", maxFiles)
		case name == "operations" || name == "map":
			return refusal.New(refusal.BadRequest, "no file can be called %q", name)
		}
		paths[name] = to[0]
		return nil
	})
	switch {
	case errors.Is(err, envelope.ErrNoObject), errors.Is(err, envelope.ErrMember):
		return nil, refusal.New(refusal.BadRequest, "map must be a JSON object such as %s", example)
	case errors.Is(err, envelope.ErrNoEnd):
		return nil, refusal.New(refusal.BadRequest, "map is no valid JSON")
	case errors.Is(err, envelope.ErrRest):
		return nil, refusal.New(refusal.BadRequest, "map goes on after its JSON object")
	case err != nil:
		return nil, err
	}
	return paths, nil
}

// place puts a file where path has it, such as variables.input.file or variables.files.0,
// if that is null.
func place(variables map[string]any, path string, file graphql.Upload) error {
	wrong := refusal.New(refusal.BadRequest, "map has a file for %.100q, and operations has no null there", path)
	steps := strings.Split(path, ".")
	if steps[0] != "variables" || len(steps) < 2 || len(steps) > envelope.MaxJSONNesting {
		return wrong
	}
	var at any = variables
	for i, step := range steps[1:] {
		last := i == len(steps)-2
		switch container := at.(type) {
		case map[string]any:
			value, ok := container[step]
			if !ok || last && value != nil {
				return wrong
			}
			if last {
				container[step] = file
			}
			at = value
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(container) || last && container[n] != nil {
				return wrong
			}
			value := container[n]
			if last {
				container[n] = file
			}
			at = value
		default:
			return wrong
		}
	}
	return nil
}

// readFiles reads the files to the end of the body.
func (f *form) readFiles() error {
	for {
		part, err := f.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return brokenForm(err)
		}
		name := part.FormName()
		file := f.files[name]
		switch {
		case file == nil:
			return refusal.New(refusal.BadRequest, "there is a part %.40q, and map has no place for it", name)
		case f.read[name]:
			return refusal.New(refusal.BadRequest, "there are two files %.40q", name)
		}
		f.read[name] = true
		f.meter.left = f.maxFile + partHeader
		n, err := file.fill(io.LimitReader(part, f.maxFile+1))
		var disk *diskError
		if errors.As(err, &disk) {
			return err
		}
		if err != nil {
			return brokenForm(err)
		}
		if n > f.maxFile {
			return refusal.New(refusal.PayloadTooLarge, "the file %.40q is larger than the %d bytes that are taken", name, f.maxFile)
		}
	}
	for name := range f.files {
		if !f.read[name] {
			return refusal.New(refusal.BadRequest, "map has a file %.40q, and there is no such part", name)
		}
	}
	return nil
}

// close lets go of the files.
func (f *form) close() {
	for _, file := range f.files {
		file.close()
	}
}

// spool is the content of a file: in memory, or from inMemory on in a file without a name,
// gone with the process.
type spool struct {
	io.ReadSeeker
	disk *os.File
}

// errEmpty is the error of reading a file that wasn't read from the body.
var errEmpty = errors.New("the file isn't there")

// Read reads the bytes of fill.
func (s *spool) Read(p []byte) (int, error) {
	if s.ReadSeeker == nil {
		return 0, errEmpty
	}
	return s.ReadSeeker.Read(p)
}

// Seek is io.Seeker's.
func (s *spool) Seek(offset int64, whence int) (int64, error) {
	if s.ReadSeeker == nil {
		return 0, errEmpty
	}
	return s.ReadSeeker.Seek(offset, whence)
}

// diskError is one of ours, where others are of the request.
type diskError struct{ error }

func (d *diskError) Unwrap() error { return d.error }

// disk is where a file is written that is too large for memory.
type disk struct{ *os.File }

func (d disk) Write(p []byte) (int, error) {
	n, err := d.File.Write(p)
	if err != nil {
		err = &diskError{fmt.Errorf("keep an upload: %w", err)}
	}
	return n, err
}

// fill reads all of from. An error of ours is a diskError.
func (s *spool) fill(from io.Reader) (int64, error) {
	var start bytes.Buffer
	n, err := io.Copy(&start, io.LimitReader(from, inMemory))
	if err != nil {
		return n, err
	}
	if n < inMemory {
		s.ReadSeeker = bytes.NewReader(start.Bytes())
		return n, nil
	}
	file, err := os.CreateTemp("", "stoa-upload-*")
	if err != nil {
		return n, &diskError{fmt.Errorf("keep an upload: %w", err)}
	}
	s.disk, s.ReadSeeker = file, file
	_ = os.Remove(file.Name()) // if the system can't remove an open file, close removes it
	more, err := io.Copy(disk{file}, io.MultiReader(&start, from))
	if err != nil {
		return more, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return more, &diskError{fmt.Errorf("keep an upload: %w", err)}
	}
	return more, nil
}

func (s *spool) close() {
	if s.disk != nil {
		_ = s.disk.Close()
		_ = os.Remove(s.disk.Name())
	}
}
