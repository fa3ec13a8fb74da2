// Package catalogue reads products from files of other systems: Shopify's product CSV, JSON Lines of any
// shop with a mapping of its columns, and this program's own export. docs/import.md describes the
// formats.
//
// A file is read twice. The first pass finds the identity of each row, the second one reads the rows of
// one identity together, wherever they stand, in the order of identities. So memory has a few numbers
// for a row and the rows of one product, and the outcome doesn't depend on the order of rows.
//
// It may import edit, money, shop and store.
// Entry points: Shopify, Lines, Own and Mapping.
package catalogue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"stoa/shop"
)

// Options are the source and the destination of an import.
type Options struct {
	File   io.ReaderAt
	Size   int64
	DryRun bool // only the report uses it

	// Add takes the products in the order of their sources: the method of shop.Importing.
	Add func(context.Context, shop.ProductImport) (shop.ImportStatus, []string, error)
	// Gone returns the sources with a prefix that were imported earlier and weren't added now.
	Gone func(prefix string) []string
	// Step is told how many rows are done, and of how many; nil for nobody.
	Step func(done, total int)
}

// format reads rows of one kind of file.
type format struct {
	prefix    string // of all sources
	delimited bool   // the records are those of a CSV file, with a header
	header    func(header []string) error
	parse     func(text []byte) ([]cell, error)                                      // the cells of a record, in order
	source    func(row) (string, error)                                              // the identity
	product   func(source string, rows []row, r *Report) (shop.ProductImport, error) // of all rows of one identity
}

// cell is a column of a row with its text. A null is a value that isn't there.
type cell struct {
	name, text string
	null       bool
}

// row is a record of a file.
type row struct {
	line  int
	cells []cell
}

// get returns the text of the first column that has one of the names; "" for none.
func (r row) get(names ...string) string {
	for _, name := range names {
		for _, c := range r.cells {
			if c.name == name && name != "" {
				return c.text
			}
		}
	}
	return ""
}

// entry is a row that the first pass has found.
type entry struct {
	source       string
	offset       int64
	length, line int
}

// lineError is a mistake in one line of a file.
type lineError struct {
	line int
	error
}

// run imports a file.
func (f format) run(ctx context.Context, o Options) (Report, error) {
	r := Report{DryRun: o.DryRun, Columns: map[string]int{}}
	entries, err := f.index(o, &r)
	if err != nil {
		return r, err
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.source, b.source) })
	done := r.Refused
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].source == entries[0].source {
			n++
		}
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("import, from line %d on: %w", entries[0].line, err)
		}
		if err := f.one(ctx, o, entries[:n], &r); err != nil {
			return r, fmt.Errorf("import %s, line %d: %w", entries[0].source, entries[0].line, err)
		}
		entries = entries[n:]
		if done += n; o.Step != nil {
			o.Step(done, r.Rows)
		}
	}
	if o.Gone != nil {
		r.Gone = o.Gone(f.prefix)
	}
	r.sort()
	return r, nil
}

// index is the first pass. It counts the rows and refuses those without an identity.
func (f format) index(o Options, r *Report) ([]entry, error) {
	var entries []entry
	seen := map[string]string{} // so that the rows of one identity share its text
	header := f.delimited
	err := records(io.NewSectionReader(o.File, 0, o.Size), f.delimited, func(offset int64, line int, text []byte, err error) error {
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			return nil
		}
		if err == nil && !utf8.Valid(text) {
			err = errors.New("the text isn't UTF-8: save the file as UTF-8")
		}
		if header {
			header = false
			if err != nil {
				return lineError{line, err}
			}
			cells, err := fields(text)
			if err == nil {
				err = f.header(cells)
			}
			return err
		}
		r.Rows++
		var cells []cell
		if err == nil {
			cells, err = f.parse(text)
		}
		var source string
		if err == nil {
			source, err = f.source(row{line, cells})
		}
		if err != nil {
			r.refuse(line, err)
			return nil
		}
		if _, there := seen[source]; !there {
			seen[source] = source
		}
		entries = append(entries, entry{seen[source], offset, len(text), line})
		return nil
	})
	if err == nil && header {
		err = errors.New("the file is empty: expected a header in its first line")
	}
	return entries, err
}

// one imports the rows of one identity. Equal rows are merged.
func (f format) one(ctx context.Context, o Options, entries []entry, r *Report) error {
	var rows []row
	texts := map[string]bool{}
	for _, e := range entries {
		text := make([]byte, e.length)
		if _, err := o.File.ReadAt(text, e.offset); err != nil {
			return err
		}
		if plain := string(bytes.TrimRight(text, "\r\n")); texts[plain] {
			r.Merged++
			continue
		} else {
			texts[plain] = true
		}
		cells, err := f.parse(text)
		if err != nil {
			return fmt.Errorf("the file has changed: %w", err)
		}
		rows = append(rows, row{e.line, cells})
	}
	refusedBefore := r.Refused
	p, err := f.product(entries[0].source, rows, r)
	stood := len(rows) - (r.Refused - refusedBefore)
	var status shop.ImportStatus
	var notes []string
	if err == nil {
		status, notes, err = o.Add(ctx, p)
	}
	if err != nil {
		var at lineError
		if !errors.As(err, &at) && !shop.Refused(err) {
			return err
		}
		line := rows[0].line
		if at.line > 0 {
			line = at.line
		}
		r.refuseAll(line, stood, fmt.Errorf("%s: %w", entries[0].source, err))
		return nil
	}
	for _, note := range notes {
		r.note(rows[0].line, p.Source+": "+note)
	}
	r.count(status, stood, p)
	return nil
}

// keep counts columns that are kept without a place.
func (r *Report) keep(columns ...string) {
	for _, name := range columns {
		r.Columns[name]++
	}
}

// words returns the texts between commas, without spaces around them.
func words(text string) []string {
	var out []string
	for _, word := range strings.Split(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}
