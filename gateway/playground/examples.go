package playground

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed examples
var examples embed.FS

// Examples returns the tabs that run on the demo: one for each file examples/NAME.graphql, by
// name, with the variables of NAME.json if there is one.
func Examples() ([]Tab, error) {
	names, err := fs.Glob(examples, "examples/*.graphql")
	if err != nil {
		return nil, fmt.Errorf("playground examples: %w", err)
	}
	tabs := make([]Tab, len(names))
	for i, name := range names {
		query, err := examples.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("playground examples: %w", err)
		}
		variables, err := examples.ReadFile(strings.TrimSuffix(name, ".graphql") + ".json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("playground examples: %w", err)
		}
		tabs[i] = Tab{Query: strings.TrimSpace(string(query)), Variables: strings.TrimSpace(string(variables))}
	}
	return tabs, nil
}
