package catalogue

// JSON Lines: any shop's with a mapping, and this program's export. Entry points: ReadMapping, Lines, Own.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"stoa/edit"
	"stoa/shop"
	"stoa/store"
)

// Mapping says what the columns of a file mean.
type Mapping struct {
	// Source is the first part of every identity. It must not change between imports.
	Source string `yaml:"source"`
	// Identity are the columns that tell one product from another.
	Identity []string `yaml:"identity"`
	// Options are columns that tell the variants of a product apart. Only those in which the variants of
	// a product differ become its options.
	Options []string `yaml:"options"`
	// Missing is the value of an option for a row that has none. "Not stated" if empty.
	Missing string `yaml:"missing"`
	// Columns give fields by column: title, slug, vendor, type, tags, description, price, compareAtPrice,
	// sku, barcode, weightGrams, requiresShipping, published. Any other column is kept.
	Columns map[string]string `yaml:"columns"`
	// Published shows products whose row doesn't say.
	Published bool `yaml:"published"`
}

var mappable = []string{"title", "slug", "vendor", "type", "tags", "description", "price", "compareAtPrice", "sku", "barcode", "weightGrams", "requiresShipping", "published"}

// ReadMapping reads a mapping in YAML or JSON.
func ReadMapping(text []byte) (Mapping, error) {
	var m Mapping
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m); err != nil {
		return m, fmt.Errorf("the mapping: %w", err)
	}
	title := false
	fields := map[string]string{}
	for column, field := range m.Columns {
		if !slices.Contains(mappable, field) {
			return m, fmt.Errorf("the mapping: the column %q becomes %q, which is none of %s", column, field, strings.Join(mappable, ", "))
		}
		if other, twice := fields[field]; twice {
			return m, fmt.Errorf("the mapping: two columns become the %s: %q and %q", field, min(column, other), max(column, other))
		}
		fields[field] = column
		title = title || field == "title"
	}
	switch {
	case m.Source == "" || strings.Contains(m.Source, "/") || m.Source == "shopify" || m.Source == "stoa":
		return m, errors.New("the mapping: source is a name of its own for the catalogue, without a slash; shopify and stoa are taken")
	case len(m.Identity) == 0:
		return m, errors.New("the mapping: identity names the columns that tell one product from another")
	case !title:
		return m, errors.New("the mapping: columns needs one that becomes the title")
	}
	if m.Missing == "" {
		m.Missing = "Not stated"
	}
	return m, nil
}

// Lines imports JSON Lines, one object a line, by a mapping.
func Lines(ctx context.Context, o Options, m Mapping) (Report, error) {
	f := format{
		prefix: m.Source + "/",
		parse:  object,
		source: func(r row) (string, error) {
			parts := []string{m.Source}
			for _, column := range m.Identity {
				text := r.get(column)
				if text == "" {
					return "", fmt.Errorf("the row has no %q, which is a part of its identity", column)
				}
				parts = append(parts, strings.NewReplacer("%", "%25", "/", "%2F").Replace(text))
			}
			return strings.Join(parts, "/"), nil
		},
		product: m.product,
	}
	return f.run(ctx, o)
}

// product makes a product of its rows.
func (m Mapping) product(source string, rows []row, r *Report) (shop.ProductImport, error) {
	column := map[string]string{}
	for name, field := range m.Columns {
		column[field] = name
	}
	first := func(field string) string {
		for _, r := range rows {
			if text := r.get(column[field]); text != "" {
				return text
			}
		}
		return ""
	}
	p := shop.ProductImport{
		Source: source, Slug: edit.Slug(first("slug")), Title: first("title"), Vendor: first("vendor"), Type: first("type"),
		Tags: words(first("tags")), Markdown: first("description"),
	}
	if tags := first("tags"); strings.HasPrefix(tags, "[") {
		if err := json.Unmarshal([]byte(tags), &p.Tags); err != nil {
			return p, lineError{rows[0].line, errors.New("tags takes a list of texts, or one text with commas")}
		}
	}
	var err error
	if p.Published, err = truth(first("published"), m.Published); err != nil {
		return p, lineError{rows[0].line, fmt.Errorf("published: %w", err)}
	}
	var stood []row
	lines, skus := map[string]int{}, map[string]int{}
	for _, row := range rows {
		key, sku := m.key(row), row.get(column["sku"])
		if line := max(lines[key], skus[sku]); line > 0 {
			r.refuse(row.line, fmt.Errorf("%s: the row has the identity of line %d, which stands: no option column differs", source, line))
			continue
		}
		if lines[key] = row.line; sku != "" {
			skus[sku] = row.line
		}
		stood = append(stood, row)
	}
	differ := slices.DeleteFunc(slices.Clone(m.Options), func(option string) bool {
		return !slices.ContainsFunc(stood, func(r row) bool { return r.get(option) != stood[0].get(option) })
	})
	for _, row := range stood {
		v := shop.VariantImport{Key: m.key(row), SKU: row.get(column["sku"]), Barcode: row.get(column["barcode"])}
		for _, option := range differ {
			value := row.get(option)
			if value == "" {
				value = m.Missing
			}
			v.Options = append(v.Options, [2]string{option, value})
		}
		if err := prices(&v, row.get(column["price"]), row.get(column["compareAtPrice"]), row.line, r); err != nil {
			return p, lineError{row.line, err}
		}
		if v.Grams, _, err = whole(row.get(column["weightGrams"])); err != nil {
			return p, lineError{row.line, fmt.Errorf("the weight in grams: %w", err)}
		}
		shipped, err := truth(row.get(column["requiresShipping"]), true)
		if err != nil {
			return p, lineError{row.line, fmt.Errorf("requiresShipping: %w", err)}
		}
		v.Digital = !shipped
		for _, c := range row.cells {
			if _, mapped := m.Columns[c.name]; !mapped && !c.null {
				r.keep(c.name)
				v.Extra = append(v.Extra, store.ExtraField{Name: c.name, Value: c.text})
			}
		}
		p.Variants = append(p.Variants, v)
	}
	return p, nil
}

// key is the identity of a row's variant.
func (m Mapping) key(r row) string {
	var values []string
	for _, option := range m.Options {
		values = append(values, strconv.Quote(r.get(option)))
	}
	return strings.Join(values, " / ")
}

// object reads the members of a JSON object in their order. Numbers keep their text.
func object(text []byte) ([]cell, error) {
	if !json.Valid(text) {
		var any json.RawMessage
		return nil, fmt.Errorf("the row isn't JSON: %w", json.Unmarshal(text, &any))
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("the row isn't a JSON object: expected {\"column\": value, …}")
	}
	var cells []cell
	names := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		c := cell{name: name.(string), text: string(value), null: string(value) == "null"}
		if names[c.name] {
			return nil, fmt.Errorf("the row has the column %.100q twice", c.name)
		}
		names[c.name] = true
		switch {
		case c.null:
			c.text = ""
		case value[0] == '"':
			if err := json.Unmarshal(value, &c.text); err != nil {
				return nil, err
			}
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// Own imports an export of this program.
func Own(ctx context.Context, o Options) (Report, error) {
	f := format{
		parse: func(text []byte) ([]cell, error) {
			var p shop.ProductImport
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&p); err != nil {
				return nil, fmt.Errorf("the row isn't a line of an export of products; for another file, name its --mapping: %w", err)
			}
			return []cell{{name: "source", text: p.Source}, {name: "line", text: string(text)}}, nil
		},
		source: func(r row) (string, error) {
			if source := r.get("source"); source != "" {
				return source, nil
			}
			return "", errors.New("the row has no source")
		},
		product: func(source string, rows []row, r *Report) (p shop.ProductImport, err error) {
			for _, later := range rows[1:] {
				r.refuse(later.line, fmt.Errorf("%s: the row has the source of line %d, which stands", source, rows[0].line))
			}
			err = json.Unmarshal([]byte(rows[0].get("line")), &p)
			p.Export = true
			return p, err
		},
	}
	o.Gone = nil // an export may be a part
	return f.run(ctx, o)
}
