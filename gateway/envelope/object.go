package envelope

// Small JSON objects beside the envelope: manifests of trusted documents and the map of a
// multipart request. Entry point: Object. The envelope itself has a decoder of its own (json.go),
// which makes refusals and allocates less.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The errors of Object.
var (
	ErrNoObject = errors.New("not a JSON object")
	ErrMember   = errors.New("no valid JSON")
	ErrNoEnd    = errors.New("the JSON object has no end")
	ErrRest     = errors.New("the text goes on after its JSON object")
)

// Object calls read for each member of the JSON object that text consists of, in their order; for
// a name that occurs twice, twice. It returns the first error of read as it is, or one of the
// errors above, wrapped.
func Object(text []byte, read func(name string, value json.RawMessage) error) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return ErrNoObject
	}
	for decoder.More() {
		var value json.RawMessage
		token, err := decoder.Token()
		name, _ := token.(string)
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			return fmt.Errorf("%w at byte %d: %w", ErrMember, decoder.InputOffset(), err)
		}
		if err := read(name, value); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return ErrNoEnd
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return ErrRest
	}
	return nil
}
