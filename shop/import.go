package shop

// Importing products from files of other systems, and exporting them, so that a repeated import changes
// nothing. Entry points: Shop.BeginImport and the methods of Importing; Shop.Export.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"stoa/edit"
	"stoa/id"
	"stoa/money"
	"stoa/problem"
	"stoa/store"
)

// ProductImport is a product in a file. Its JSON is a line of an export.
type ProductImport struct {
	Source      string                `json:"source"` // its identity; the file's name is no part of it
	Slug        string                `json:"slug"`   // the wanted slug; a taken one gets a number; "" for one of the title
	OldSlugs    []string              `json:"oldSlugs,omitempty"`
	Title       string                `json:"title"`
	Vendor      string                `json:"vendor,omitempty"`
	Type        string                `json:"type,omitempty"`
	Tags        []string              `json:"tags,omitempty"`
	Markdown    string                `json:"descriptionMarkdown,omitempty"`
	Published   bool                  `json:"published"`
	CreatedAt   *time.Time            `json:"createdAt,omitempty"`   // nil: the time of the import
	PublishedAt *time.Time            `json:"publishedAt,omitempty"` // nil: the time of the import, if Published
	UpdatedAt   *time.Time            `json:"updatedAt,omitempty"`
	Variants    []VariantImport       `json:"variants"`
	Extra       []store.ExtraField    `json:"extra,omitempty"`
	Pictures    []store.RemotePicture `json:"remotePictures,omitempty"`
	Fields      map[string]string     `json:"imported,omitempty"` // digests of the last import, in an export

	Export bool `json:"-"` // it is a line of an export: Fields are kept as they are
}

// VariantImport is a variant in a file.
type VariantImport struct {
	Key       string             `json:"key"`               // its identity within the product
	Options   [][2]string        `json:"options,omitempty"` // names with values
	SKU       string             `json:"sku,omitempty"`
	Barcode   string             `json:"barcode,omitempty"`
	Price     money.Decimal      `json:"price,omitempty"` // "" for none
	CompareAt money.Decimal      `json:"compareAtPrice,omitempty"`
	Currency  money.Currency     `json:"currency,omitempty"` // "" for the shop's
	Reduction *store.Reduction   `json:"reduction,omitempty"`
	History   []store.DayPrice   `json:"priceHistory,omitempty"`
	Grams     int64              `json:"weightGrams,omitempty"`
	Digital   bool               `json:"digital,omitempty"`
	TaxClass  string             `json:"taxClass,omitempty"`
	Extra     []store.ExtraField `json:"extra,omitempty"`
	Fields    map[string]string  `json:"imported,omitempty"`
}

// ImportStatus is the outcome of a ProductImport.
type ImportStatus string

// The outcomes. A refused product has an error instead.
const (
	Created   ImportStatus = "created"
	Changed   ImportStatus = "changed"
	Unchanged ImportStatus = "unchanged"
)

// Importing is an import in progress. It isn't for concurrent use.
type Importing struct {
	shop  *Shop
	dry   bool
	known map[string]id.ID // by source
	met   map[string]bool  // sources that the file has
}

// BeginImport begins an import: it reads the sources of all products. A dry import writes nothing.
func (s *Shop) BeginImport(ctx context.Context, dry bool) (*Importing, error) {
	known, err := s.store.ProductSources(ctx)
	return &Importing{s, dry, known, map[string]bool{}}, err
}

// Add creates or changes the product of a source, and returns notes about what a person may want to look
// at. A field is changed only if the file's value is another one than in its last import. A field that
// the file and staff have both changed gets the file's value, with a note of the other one. An error of
// package problem refuses the product alone; any other one ends the import.
func (i *Importing) Add(ctx context.Context, in ProductImport) (ImportStatus, []string, error) {
	i.met[in.Source] = true
	scratch, err := i.shop.imported(ctx, in)
	if err != nil {
		return "", nil, err
	}
	of, there := i.known[in.Source]
	if !there {
		return Created, nil, i.create(ctx, in, scratch)
	}
	var notes []string
	status := Unchanged
	_, err = edit.Update(func() (*store.WholeProduct, error) { return i.shop.store.ProductNow(ctx, of) },
		func(before *store.WholeProduct) (*store.WholeProduct, error) {
			status, notes = Unchanged, nil
			after, found, err := merged(before, scratch, in)
			if err != nil {
				return nil, err
			}
			if reflect.DeepEqual(before, after) || in.Export && before.Imported == nil && sameProduct(before, after) {
				return before, nil
			}
			if status, notes = Changed, found; i.dry {
				return before, nil
			}
			return after, nil
		}, func(before, after *store.WholeProduct) error { return i.shop.store.ChangeProduct(ctx, before, after) })
	return status, notes, err
}

// create stores a new product. Its ids follow from its source, so that two imports at once make one
// product.
func (i *Importing) create(ctx context.Context, in ProductImport, p *store.WholeProduct) error {
	if len(p.Variants) == 0 && in.Published {
		return problem.New(problem.Invalid, "a published product has at least one variant")
	}
	if i.dry {
		return nil
	}
	taken, err := store.Products.SlugsTaken(ctx, i.shop.store, in.OldSlugs)
	if err != nil {
		return err
	}
	p.OldSlugs = slices.DeleteFunc(slices.Clone(in.OldSlugs), func(slug string) bool { _, is := taken[slug]; return is || slug == in.Slug })
	if len(p.OldSlugs) == 0 {
		p.OldSlugs = nil
	}
	var asked *string
	if in.Slug != "" {
		asked = &in.Slug
	}
	out, err := i.shop.products.Add(ctx, p, asked)
	if err == nil {
		i.known[in.Source] = out.Value.ID
	}
	return err
}

// Gone returns the sources of an earlier import that the file doesn't have, sorted: those with a prefix.
func (i *Importing) Gone(prefix string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for source := range i.known {
			if strings.HasPrefix(source, prefix) && !i.met[source] && !yield(source) {
				return
			}
		}
	})
}

// imported makes the product of an import, as it would be stored if it were new.
func (s *Shop) imported(ctx context.Context, in ProductImport) (*store.WholeProduct, error) {
	now := store.Now()
	p := &store.WholeProduct{}
	create := ProductCreateInput{Title: in.Title, Vendor: &in.Vendor, Type: &in.Type, Tags: slices.Concat([]string{}, in.Tags), DescriptionMarkdown: &in.Markdown}
	for _, v := range in.Variants {
		of := &VariantInput{SKU: &v.SKU, Barcode: &v.Barcode, WeightGrams: &v.Grams, RequiresShipping: new(!v.Digital), Options: []*SelectedOptionInput{}}
		for _, o := range v.Options {
			of.Options = append(of.Options, &SelectedOptionInput{o[0], o[1]})
		}
		if v.Currency != "" && v.Currency != s.currency {
			return nil, problem.New(problem.Invalid, "the price is in %.20s, and the shop sells in %s", v.Currency, s.currency).At("currency")
		}
		if v.Price != "" {
			of.Price = new(v.Price)
		}
		if v.CompareAt != "" {
			of.CompareAtPrice = new(v.CompareAt)
		}
		create.Variants = append(create.Variants, of)
	}
	if err := s.begin(ctx, p, create); err != nil {
		return nil, err
	}
	// The time in the ids is a constant: the file has none, and equal sources must give equal ids.
	p.ID = id.Derived(id.Product, time.Time{}, in.Source)
	at := now
	if in.CreatedAt != nil {
		at = in.CreatedAt.UTC()
	}
	complete(p, at, func(n int) id.ID {
		return id.Derived(id.Variant, time.Time{}, in.Source+"\x00"+in.Variants[n].Key)
	})
	if in.UpdatedAt != nil {
		p.UpdatedAt = in.UpdatedAt.UTC()
	}
	if in.Published {
		p.Status, p.PublishedAt = store.ProductPublished, &now
	}
	if in.PublishedAt != nil {
		p.PublishedAt = new(in.PublishedAt.UTC())
	}
	known := &store.Imported{Source: in.Source, Extra: in.Extra, Pictures: in.Pictures, Fields: in.Fields, Variants: make([]store.ImportedVariant, len(in.Variants))}
	if !in.Export {
		known.Fields = digests(productParts, p)
	}
	keys := map[string]bool{}
	for n, v := range in.Variants {
		if keys[v.Key] {
			return nil, problem.New(problem.Invalid, "two variants have the key %.100q", v.Key)
		}
		keys[v.Key] = true
		of := &p.Variants[n]
		of.TaxClass = v.TaxClass
		if len(of.Prices) > 0 {
			of.Prices[0].Reduction, of.Prices[0].History = v.Reduction, v.History
		}
		known.Variants[n] = store.ImportedVariant{ID: of.ID, Key: v.Key, Extra: v.Extra, Fields: v.Fields}
		if !in.Export {
			known.Variants[n].Fields = digests(variantParts(now), of)
		}
	}
	p.Imported = known
	return p, nil
}

// part is a field of a product or of a variant that an import sets.
type part[T any] struct {
	name string
	get  func(*T) any
	set  func(to, from *T)
}

var productParts = []part[store.WholeProduct]{
	{"title", func(p *store.WholeProduct) any { return p.Title }, func(to, from *store.WholeProduct) { to.Title = from.Title }},
	{"vendor", func(p *store.WholeProduct) any { return p.Vendor }, func(to, from *store.WholeProduct) { to.Vendor = from.Vendor }},
	{"type", func(p *store.WholeProduct) any { return p.Type }, func(to, from *store.WholeProduct) { to.Type = from.Type }},
	{"tags", func(p *store.WholeProduct) any { return p.Tags }, func(to, from *store.WholeProduct) { to.Tags = from.Tags }},
	{"description", func(p *store.WholeProduct) any { return p.Description.Markdown }, func(to, from *store.WholeProduct) {
		to.Description.Markdown, to.Description.HTML = from.Description.Markdown, from.Description.HTML
	}},
	{"status", func(p *store.WholeProduct) any { return p.Status }, func(to, from *store.WholeProduct) {
		if to.Status = from.Status; to.PublishedAt == nil {
			to.PublishedAt = from.PublishedAt
		}
	}},
}

// variantParts are the fields of a variant. A price changes at a time.
func variantParts(at time.Time) []part[store.Variant] {
	return []part[store.Variant]{
		{"sku", func(v *store.Variant) any { return v.SKU }, func(to, from *store.Variant) { to.SKU = from.SKU }},
		{"barcode", func(v *store.Variant) any { return v.Barcode }, func(to, from *store.Variant) { to.Barcode = from.Barcode }},
		{"options", func(v *store.Variant) any { return v.Options }, func(to, from *store.Variant) { to.Options = from.Options }},
		{"weight", func(v *store.Variant) any { return v.Grams }, func(to, from *store.Variant) { to.Grams = from.Grams }},
		{"digital", func(v *store.Variant) any { return v.Digital }, func(to, from *store.Variant) { to.Digital = from.Digital }},
		{"taxClass", func(v *store.Variant) any { return v.TaxClass }, func(to, from *store.Variant) { to.TaxClass = from.TaxClass }},
		{"price", func(v *store.Variant) any { return amountOf(v.Price()) }, func(to, from *store.Variant) {
			if len(from.Prices) == 0 || len(to.Prices) == 0 || to.Prices[0].Currency != from.Prices[0].Currency {
				to.Prices = slices.Clone(from.Prices)
				return
			}
			price := to.Prices[0]
			reprice(&price, from.Prices[0].Minor, at)
			to.Prices = []store.VariantPrice{price}
		}},
		{"compareAtPrice", func(v *store.Variant) any { return amountOf(v.CompareAtPrice()) }, func(to, from *store.Variant) {
			if len(to.Prices) == 0 {
				return
			}
			price := to.Prices[0]
			if before := from.CompareAtPrice(); before == nil {
				price.CompareAt = nil
			} else {
				announce(&price, before.Minor, at)
			}
			to.Prices = []store.VariantPrice{price}
		}},
	}
}

func amountOf(m *money.Money) string {
	if m == nil {
		return ""
	}
	return fmt.Sprint(m.Amount(), " ", m.Currency)
}

func digests[T any](parts []part[T], of *T) map[string]string {
	out := map[string]string{}
	for _, p := range parts {
		text, _ := json.Marshal(p.get(of)) // texts, numbers and lists of them: there is no error
		out[p.name] = digest(string(text))
	}
	return out
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// merged makes the successor of a product from the file's state, and notes about it.
func merged(before, file *store.WholeProduct, in ProductImport) (*store.WholeProduct, []string, error) {
	copied := *before
	after := &copied
	was := before.Imported
	if was == nil {
		was = &store.Imported{}
	}
	after.Variants = slices.Clone(before.Variants)
	known := *file.Imported
	known.Variants = slices.Clone(was.Variants)
	after.Imported = &known
	notes := merge(productParts, after, file, was.Fields)
	parts := variantParts(store.Now())
	seen := map[id.ID]bool{}
	for n := range file.Variants {
		v, of := file.Variants[n], file.Imported.Variants[n]
		at := counterpart(before, was, v, of, seen)
		if at < 0 {
			if position(after, v.ID) >= 0 { // the variant of this key has got another one
				v.ID = id.New(id.Variant)
			}
			after.Variants = append(after.Variants, v)
			of.ID = v.ID
			known.Variants = append(known.Variants, of)
			seen[v.ID] = true
			continue
		}
		to := &after.Variants[at]
		of.ID = to.ID
		seen[to.ID] = true
		stored := slices.IndexFunc(known.Variants, func(k store.ImportedVariant) bool { return k.ID == to.ID })
		var last map[string]string
		if stored < 0 {
			known.Variants = append(known.Variants, of)
		} else {
			last = known.Variants[stored].Fields
			known.Variants[stored] = of
		}
		for _, note := range merge(parts, to, &v, last) {
			notes = append(notes, fmt.Sprintf("variant %s: %s", of.Key, note))
		}
	}
	for _, v := range before.Variants {
		if !seen[v.ID] {
			notes = append(notes, fmt.Sprintf("the file has no variant %s any more: it stays", values(v.Options)))
		}
	}
	if _, err := checkVariants(after); err != nil {
		return nil, nil, err
	}
	after.Summarise()
	if after.UpdatedAt = before.UpdatedAt; !sameProduct(before, after) {
		after.UpdatedAt = store.Now()
	}
	return after, notes, nil
}

// sameProduct reports whether two states of a product differ at most in what imports know.
func sameProduct(a, b *store.WholeProduct) bool {
	x, y := *a, *b
	x.Imported, y.Imported = nil, nil
	return reflect.DeepEqual(x, y)
}

// counterpart returns the position of the stored variant of a file's variant: the one with its key, else
// the one with its SKU, else the one with its options; -1 if there is none that isn't seen yet.
func counterpart(p *store.WholeProduct, was *store.Imported, v store.Variant, of store.ImportedVariant, seen map[id.ID]bool) int {
	keys := map[id.ID]string{}
	for _, k := range was.Variants {
		keys[k.ID] = k.Key
	}
	for _, same := range []func(store.Variant) bool{
		func(o store.Variant) bool { return keys[o.ID] == of.Key || exportKey(o.ID) == of.Key },
		func(o store.Variant) bool { return v.SKU != "" && o.SKU == v.SKU },
		func(o store.Variant) bool { return reflect.DeepEqual(o.Options, v.Options) },
	} {
		if at := slices.IndexFunc(p.Variants, func(o store.Variant) bool { return !seen[o.ID] && same(o) }); at >= 0 {
			return at
		}
	}
	return -1
}

// merge sets the parts whose value in the file has changed since the last import.
func merge[T any](parts []part[T], to, file *T, last map[string]string) (notes []string) {
	now, current := digests(parts, file), digests(parts, to)
	for _, p := range parts {
		if now[p.name] == last[p.name] || now[p.name] == current[p.name] {
			continue
		}
		if last != nil && last[p.name] != current[p.name] {
			notes = append(notes, fmt.Sprintf("%s: changed here and in the file: the file's %.100q replaces %.100q", p.name, fmt.Sprint(p.get(file)), fmt.Sprint(p.get(to))))
		}
		p.set(to, file)
	}
	return notes
}

func exportKey(variant id.ID) string { return store.OwnSource + string(variant) }

// exportBatch is how many products one command of an export reads: 100 of 250 variants are below the 48 MB
// of a message.
const exportBatch = 100

// Export calls visit with every product in the order of their sources, as an import takes them. A product
// that is changed meanwhile comes in either state.
func (s *Shop) Export(ctx context.Context, visit func(ProductImport) error) error {
	known, err := s.store.ProductSources(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(known)), exportBatch) {
		ids := make([]id.ID, len(batch))
		for n, source := range batch {
			ids[n] = known[source]
		}
		found, err := s.store.ProductsNow(ctx, ids)
		if err != nil {
			return err
		}
		for _, of := range ids {
			if p := found[of]; p != nil {
				if err := visit(exported(p)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// exported is the import that makes a product.
func exported(p *store.WholeProduct) ProductImport {
	known := p.Imported
	if known == nil {
		known = &store.Imported{}
	}
	out := ProductImport{
		Source: p.Source(), Slug: p.Slug, OldSlugs: p.OldSlugs, Title: p.Title, Vendor: p.Vendor, Type: p.Type, Tags: p.Tags,
		Markdown: p.Description.Markdown, Published: p.Public(), CreatedAt: &p.CreatedAt, PublishedAt: p.PublishedAt, UpdatedAt: &p.UpdatedAt,
		Extra: known.Extra, Pictures: known.Pictures, Fields: known.Fields, Variants: []VariantImport{},
	}
	for _, v := range p.Variants {
		to := VariantImport{Key: exportKey(v.ID), SKU: v.SKU, Barcode: v.Barcode, Grams: v.Grams, Digital: v.Digital, TaxClass: v.TaxClass}
		for _, o := range v.Options {
			to.Options = append(to.Options, [2]string{o.Name, o.Value})
		}
		if price := v.Price(); price != nil {
			to.Price, to.Currency = price.Amount(), price.Currency
			to.Reduction, to.History = v.Prices[0].Reduction, v.Prices[0].History
		}
		if before := v.CompareAtPrice(); before != nil {
			to.CompareAt = before.Amount()
		}
		for _, k := range known.Variants {
			if k.ID == v.ID {
				to.Key, to.Fields, to.Extra = k.Key, k.Fields, k.Extra
			}
		}
		out.Variants = append(out.Variants, to)
	}
	return out
}

// Refused reports whether an error of Add is about the product alone.
func Refused(err error) bool { return errors.As(err, new(*problem.Error)) }
