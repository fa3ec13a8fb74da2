//go:build !windows

// Package site has one word of each sort.
package site

import (
	"errors"
	"fmt"
	"log/slog"
)

// Open says who's there. Whatever fails, it's what Close undoes.
func Open(log *slog.Logger, name string) error {
	log.Info("a site where nothing is") // counted
	plain := "whose string is shown to nobody"
	if name == plain {
		return errors.New("no name")
	}
	return fmt.Errorf("open %s: %w", name+fmt.Sprint("who is inside another call"), errors.New("whom"))
}
