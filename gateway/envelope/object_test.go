package envelope

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestObject(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		reason, text string
		names        []string
		err          error
	}{
		"Empty":    {"no member is fine", `{}`, nil, nil},
		"Twice":    {"the caller decides about a name that occurs twice", `{"a":1,"a":2}`, []string{"a", "a"}, nil},
		"Array":    {"another value", `[]`, nil, ErrNoObject},
		"Nothing":  {"no value", ` `, nil, ErrNoObject},
		"Value":    {"a member without a value", `{"a":}`, nil, ErrMember},
		"Open":     {"the brace doesn't close", `{"a":1`, []string{"a"}, ErrNoEnd},
		"Rest":     {"a second value", `{"a":1} {}`, []string{"a"}, ErrRest},
		"Callback": {"the error of read ends the object", `{"a":1,"no":2,"b":3}`, []string{"a"}, refused},
	} {
		var names []string
		err := Object([]byte(c.text), func(name string, _ json.RawMessage) error {
			if name == "no" {
				return refused
			}
			names = append(names, name)
			return nil
		})
		if !errors.Is(err, c.err) || !slices.Equal(names, c.names) {
			t.Errorf("%s: %s: %q, %v", name, c.reason, names, err)
		}
	}
}
