package catalogue

// The report of an import, as data and as a table. Entry point: Report.Table.

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"stoa/shop"
)

// Report is the outcome of an import. Every row is in exactly one of the counts: they add up to Rows, but
// for the rows that weren't reached because the import ended early.
type Report struct {
	DryRun                                           bool
	Rows                                             int
	Created, Changed, Unchanged, Merged, Refused     int // rows
	ProductsCreated, ProductsChanged, ProductsStayed int
	Unpriced                                         int            // rows that are variants without a price
	Remote                                           int            // addresses of pictures, which nothing fetched
	Columns                                          map[string]int // columns without a place, with the rows that have a value
	Gone                                             []string       // sources of an earlier import that the file lacks
	Refusals, Notes                                  []Entry
}

// Entry is a remark about a line.
type Entry struct {
	Line int
	Text string
}

func (r *Report) refuse(line int, err error) { r.refuseAll(line, 1, err) }

// refuseAll refuses rows for one reason.
func (r *Report) refuseAll(line, rows int, err error) {
	r.Refused += rows
	text := err.Error()
	if rows > 1 {
		text += fmt.Sprintf(" (all %d rows of the product are refused)", rows)
	}
	r.Refusals = append(r.Refusals, Entry{line, printable(text)})
}

func (r *Report) note(line int, text string) {
	r.Notes = append(r.Notes, Entry{line, printable(text)})
}

// count counts the rows of a product that was taken.
func (r *Report) count(status shop.ImportStatus, rows int, p shop.ProductImport) {
	switch status {
	case shop.Created:
		r.Created += rows
		r.ProductsCreated++
	case shop.Changed:
		r.Changed += rows
		r.ProductsChanged++
	default:
		r.Unchanged += rows
		r.ProductsStayed++
	}
	for _, v := range p.Variants {
		if v.Price == "" {
			r.Unpriced++
		}
	}
	r.Remote += len(p.Pictures)
}

func (r *Report) sort() {
	for _, list := range [][]Entry{r.Refusals, r.Notes} {
		slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Compare(a.Line, b.Line) })
	}
}

// shown is how many remarks of a kind a table has, unless all are asked for.
const shown = 20

// Table writes the counts, the refusals and the notes; with all, every one of them.
func (r *Report) Table(w io.Writer, all bool) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%d rows", r.Rows)
	if r.DryRun {
		fmt.Fprint(out, " (dry run: nothing was written)")
	}
	fmt.Fprintln(out)
	left := r.Rows - r.Created - r.Changed - r.Unchanged - r.Merged - r.Refused
	for _, line := range []struct {
		label string
		rows  int
	}{{"created", r.Created}, {"changed", r.Changed}, {"unchanged", r.Unchanged}, {"merged", r.Merged}, {"refused", r.Refused}, {"not reached", left}} {
		if line.rows > 0 || line.label != "not reached" {
			fmt.Fprintf(out, "  %-11s %6d\n", line.label, line.rows)
		}
	}
	fmt.Fprintf(out, "\nProducts: %d created, %d changed, %d unchanged\n", r.ProductsCreated, r.ProductsChanged, r.ProductsStayed)
	if r.Unpriced > 0 {
		fmt.Fprintf(out, "Variants without a price: %d. They can't be bought.\n", r.Unpriced)
	}
	if r.Remote > 0 {
		fmt.Fprintf(out, "Pictures kept as addresses, not fetched: %d\n", r.Remote)
	}
	if len(r.Columns) > 0 {
		fmt.Fprint(out, "\nColumns kept without a place in a product (rows)\n")
		for _, name := range slices.Sorted(maps.Keys(r.Columns)) {
			fmt.Fprintf(out, "  %s (%d)\n", printable(name), r.Columns[name])
		}
	}
	list(out, "Refused", r.Refusals, all)
	list(out, "Noted", r.Notes, all)
	if len(r.Gone) > 0 {
		fmt.Fprintf(out, "\nImported earlier and not in this file: %d. They stay.\n", len(r.Gone))
		n := len(r.Gone)
		if !all {
			n = min(n, shown)
		}
		for _, source := range r.Gone[:n] {
			fmt.Fprintf(out, "  %s\n", printable(source))
		}
	}
	return out.Flush()
}

func list(out io.Writer, heading string, entries []Entry, all bool) {
	if len(entries) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", heading)
	for n, e := range entries {
		if n == shown && !all {
			fmt.Fprintf(out, "  and %d more: --list names all\n", len(entries)-n)
			return
		}
		fmt.Fprintf(out, "  line %d: %s\n", e.Line, e.Text)
	}
}

// printable puts spaces in the place of the characters that control a terminal.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
}
