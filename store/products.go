package store

// Products: their documents, declarations and writes. A product is one document with its variants
// and its description. Reads take only a part of it: Products are without both, Variants and
// Descriptions are read by ids of their own.
// Entry points: Products, Variants, Descriptions; Store.ProductNow, AddProduct, ChangeProduct and
// DeleteProduct for the whole document.

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
	"stoa/money"
	"stoa/problem"
)

// ProductStatus is the visibility of a product.
type ProductStatus string

// The statuses of products, with the readers of each.
const (
	ProductDraft     ProductStatus = "DRAFT"     // staff
	ProductPublished ProductStatus = "PUBLISHED" // everyone
)

// Product is a product without its variants and its description: everything that a card shows.
type Product struct {
	ID          id.ID           `bson:"_id"`
	Slug        string          `bson:"slug"`                 // unique among products, those of OldSlugs included
	WantedSlug  string          `bson:"wantedSlug,omitempty"` // before a number was added because the slug was taken
	OldSlugs    []string        `bson:"oldSlugs,omitempty"`   // the product is still found under these
	Title       string          `bson:"title"`
	Vendor      string          `bson:"vendor"`
	Type        string          `bson:"type"`
	Tags        []string        `bson:"tags"`
	Status      ProductStatus   `bson:"status"`
	CreatedAt   time.Time       `bson:"createdAt"`
	PublishedAt *time.Time      `bson:"publishedAt,omitempty"` // of the first publication; nil before
	UpdatedAt   time.Time       `bson:"updatedAt"`
	Options     []ProductOption `bson:"options"`    // what the variants differ in
	VariantIDs  []id.ID         `bson:"variantIds"` // in their order
	PriceRange  *PriceRange     `bson:"priceRange,omitempty"`
	Version     int64           `bson:"version"` // goes up by one with every change: for compare-and-set
}

// ProductOption is something that variants differ in, such as a size, with the values that some
// variant has.
type ProductOption struct {
	Name   string   `bson:"name"`
	Values []string `bson:"values"` // in the order of the variants
}

// PriceRange has the prices of the cheapest and of the dearest variant with a price.
type PriceRange struct {
	Lowest  money.Money `bson:"lowest"`
	Highest money.Money `bson:"highest"`
}

// Variant is one form of a product that can be bought.
type Variant struct {
	ID       id.ID            `bson:"id"`
	SKU      string           `bson:"sku,omitempty"` // the merchant's own code, unique within the product; "" for none
	Barcode  string           `bson:"barcode,omitempty"`
	Options  []SelectedOption `bson:"options"` // a value for each option of the product, in their order
	Prices   []VariantPrice   `bson:"prices"`  // at most one for a currency
	Grams    int64            `bson:"grams,omitempty"`
	Digital  bool             `bson:"digital,omitempty"` // it is not sent by post
	TaxClass string           `bson:"taxClass,omitempty"`

	// Of its product, from the read of Variants. They aren't stored within the variant.
	ProductID id.ID         `bson:"productId,omitempty"`
	Status    ProductStatus `bson:"status,omitempty"`
}

// SelectedOption is the value of one option.
type SelectedOption struct {
	Name  string `bson:"name"`
	Value string `bson:"value"`
}

// VariantPrice is the price of a variant in a currency. A compare-at price is a former or
// recommended one; it counts as a sale only while it is above the price.
type VariantPrice struct {
	money.Money `bson:",inline"`
	CompareAt   *int64     `bson:"compareAt,omitempty"` // in minor units
	Reduction   *Reduction `bson:"reduction,omitempty"` // nil while the price isn't reduced
	History     []DayPrice `bson:"history,omitempty"`   // of the last days with another price, the oldest first
}

// Reduction is a price that is lower than before, in minor units.
type Reduction struct {
	From  int64 `bson:"from" json:"from"`   // the price before the first fall
	Prior int64 `bson:"prior" json:"prior"` // the lowest price of the 30 days before it
}

// DayPrice are the lowest and the last price of a day on which the price changed, in minor units.
type DayPrice struct {
	Day    string `bson:"day" json:"day"` // in UTC: 2026-03-01
	Lowest int64  `bson:"lowest" json:"lowest"`
	Last   int64  `bson:"last" json:"last"`
}

// Price returns the price of v; nil if it has none, and can't be bought.
func (v *Variant) Price() *money.Money {
	if len(v.Prices) == 0 {
		return nil
	}
	return &v.Prices[0].Money
}

// CompareAtPrice returns the compare-at price of v; nil if it has none.
func (v *Variant) CompareAtPrice() *money.Money {
	if len(v.Prices) == 0 || v.Prices[0].CompareAt == nil {
		return nil
	}
	return &money.Money{Minor: *v.Prices[0].CompareAt, Currency: v.Prices[0].Currency}
}

// PriorPrice returns the lowest price of the 30 days before the present reduction; nil if the price
// isn't reduced.
func (v *Variant) PriorPrice() *money.Money {
	if len(v.Prices) == 0 || v.Prices[0].Reduction == nil {
		return nil
	}
	return &money.Money{Minor: v.Prices[0].Reduction.Prior, Currency: v.Prices[0].Currency}
}

// OnSale reports whether v costs less than its compare-at price.
func (v *Variant) OnSale() bool {
	before := v.CompareAtPrice()
	return before != nil && before.Minor > v.Prices[0].Minor
}

// StockCode returns the SKU of v; nil if it has none.
func (v *Variant) StockCode() *string { return known(v.SKU) }

// Code returns the barcode of v; nil if it has none.
func (v *Variant) Code() *string { return known(v.Barcode) }

// Weight returns the weight of v in grams; nil if unknown.
func (v *Variant) Weight() *int64 { return known(v.Grams) }

// RequiresShipping reports whether v is sent by post.
func (v *Variant) RequiresShipping() bool { return !v.Digital }

// Description is the text of a product. Its id is that of the product with another prefix.
type Description struct {
	ID       id.ID  `bson:"id"`
	Markdown string `bson:"markdown"`
	HTML     string `bson:"html"` // rendered from Markdown and sanitised
}

// WholeProduct is a product as it is stored.
type WholeProduct struct {
	Product     `bson:",inline"`
	Variants    []Variant   `bson:"variants"`
	Description Description `bson:"description"`
	Imported    *Imported   `bson:"imported,omitempty"` // nil for a product that no import has met
}

// Imported is the part of an import in a product: its identity in the other system, and the last state
// of its file. Only an import and an export read it.
type Imported struct {
	Source   string            `bson:"source"`           // its identity, such as shopify/blue-shirt
	Fields   map[string]string `bson:"fields,omitempty"` // digests of the file's values, by field
	Extra    []ExtraField      `bson:"extra,omitempty"`  // columns without a place in a product
	Pictures []RemotePicture   `bson:"pictures,omitempty"`
	Variants []ImportedVariant `bson:"variants"`
}

// ImportedVariant is the same for a variant.
type ImportedVariant struct {
	ID     id.ID             `bson:"id"`
	Key    string            `bson:"key"` // its identity within the product
	Fields map[string]string `bson:"fields,omitempty"`
	Extra  []ExtraField      `bson:"extra,omitempty"`
}

// ExtraField is a column of a file without a place here, with its text.
type ExtraField struct {
	Name  string `bson:"name" json:"name"`
	Value string `bson:"value" json:"value"`
}

// RemotePicture is the address of a picture on another site. Nothing fetches it.
type RemotePicture struct {
	URL string `bson:"url" json:"url"`
	Alt string `bson:"alt,omitempty" json:"alt,omitempty"`
}

// Products are the products, without their variants and descriptions.
var Products = &Kind[Product]{
	ID: id.Product, Name: "product", Collection: products,
	Without: []string{"variants", "description", "imported"},
	Size: func(p *Product) int64 {
		return int64(600 + len(p.Title) + len(p.Vendor) + len(p.Type) + 30*len(p.Tags) + 50*len(p.Options) + 45*len(p.VariantIDs))
	},
	Public:    Visible[Product]{(*Product).Public, bson.D{{Key: "status", Value: ProductPublished}}},
	VisibleTo: func(_ *Product, v access.Viewer) bool { return v.May(access.Staff) },
	Slugs:     func(p *Product) []string { return append([]string{p.Slug}, p.OldSlugs...) },
	Version:   func(p *Product) *int64 { return &p.Version },
	Words: func(p *Product) Words {
		w := Words{Title: p.Title, Summary: fmt.Sprint(p.Vendor, " ", p.Type)}
		for _, tag := range p.Tags {
			w.Summary += " " + tag
		}
		if p.PublishedAt != nil {
			w.Time = *p.PublishedAt
		}
		return w
	},
	Lists:   []ListOf[Product]{{Tag: listTag(products), Sort: "publishedAt", At: func(p *Product) any { return p.PublishedAt }}},
	Indexes: []index{{fields: []string{"variants.id"}}},
}

// Variants are the variants of all products, by their ids. There is no check of access: who has a
// product may read its variants. Clients that send an id of a variant get it through PublicVariants
// or Variants.For.
var Variants = &Kind[Variant]{
	ID: id.Variant, Name: "variant", Collection: products,
	Size:      func(v *Variant) int64 { return int64(250 + 60*len(v.Options) + 60*len(v.Prices)) },
	VisibleTo: func(_ *Variant, v access.Viewer) bool { return v.May(access.Staff) },
	Part:      readVariants,
}

// Descriptions are the descriptions of products, by ids that no client sends. There is no check of
// access, as with Variants.
var Descriptions = &Kind[Description]{
	ID: id.Description, Name: "description", Collection: products,
	Size: func(d *Description) int64 { return int64(100 + len(d.Markdown) + len(d.HTML)) },
	Part: readDescriptions,
}

// NodeID returns the product's id.
func (p *Product) NodeID() id.ID { return p.ID }

// NodeID returns the variant's id.
func (v *Variant) NodeID() id.ID { return v.ID }

// NodeID returns the description's id.
func (d *Description) NodeID() id.ID { return d.ID }

// Public reports whether everyone may see p.
func (p *Product) Public() bool { return p.Status == ProductPublished }

// DescriptionID is the id of p's description.
func (p *Product) DescriptionID() id.ID { return p.ID.As(id.Description) }

// PublicVariants returns the variants with ids of published products, in the order of ids. A missing
// or hidden one is nil.
func (s *Store) PublicVariants(ctx context.Context, ids []id.ID) ([]*Variant, error) {
	return Variants.that(ctx, s, ids, func(v *Variant) bool { return v.Status == ProductPublished })
}

func readVariants(ctx context.Context, s *Store, ids []id.ID) (map[id.ID]*Variant, error) {
	found, err := find[WholeProduct](ctx, s.collection(products), in("variants.id", ids), projection("status", "variants"))
	if err != nil {
		return nil, err
	}
	wanted := make(map[id.ID]bool, len(ids))
	for _, i := range ids {
		wanted[i] = true
	}
	out := make(map[id.ID]*Variant, len(ids))
	for _, p := range found {
		for at := range p.Variants {
			if i := p.Variants[at].ID; wanted[i] {
				out[i] = p.VariantAt(at)
			}
		}
	}
	return out, nil
}

func readDescriptions(ctx context.Context, s *Store, ids []id.ID) (map[id.ID]*Description, error) {
	type part struct {
		Description Description `bson:"description"`
	}
	of := make([]id.ID, len(ids))
	for i := range ids {
		of[i] = ids[i].As(id.Product)
	}
	found, err := find[part](ctx, s.collection(products), in("_id", of), projection("description"))
	out := make(map[id.ID]*Description, len(found))
	for _, p := range found {
		out[p.Description.ID] = &p.Description
	}
	return out, err
}

// ProductNow returns a whole product as it is in the database now, without an access check, or
// NotFound.
func (s *Store) ProductNow(ctx context.Context, product id.ID) (*WholeProduct, error) {
	return s.wholeProduct(ctx, "product", "_id", product)
}

// ProductOfVariant returns the whole product that has a variant, as it is in the database now,
// without an access check, or NotFound.
func (s *Store) ProductOfVariant(ctx context.Context, variant id.ID) (*WholeProduct, error) {
	return s.wholeProduct(ctx, "variant", "variants.id", variant)
}

func (s *Store) wholeProduct(ctx context.Context, name, field string, i id.ID) (*WholeProduct, error) {
	access.MarkPrivate(ctx)
	found, err := find[WholeProduct](ctx, s.collection(products), bson.D{{Key: field, Value: i}}, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "there is no %s with the id %s", name, i)
	}
	return found[0], nil
}

// ProductSources returns the ids of all products by their sources. The source of a product that no import
// has met is OwnSource with its id. It reads the database, past the caches, in the batches of a cursor.
func (s *Store) ProductSources(ctx context.Context) (map[string]id.ID, error) {
	type head struct {
		ID       id.ID     `bson:"_id"`
		Imported *Imported `bson:"imported"`
	}
	out := map[string]id.ID{}
	err := visitEach(ctx, s.collection(products), bson.D{}, projection("imported.source").SetBatchSize(oneReply), func(h *head, _ bool) {
		out[sourceOf(h.ID, h.Imported)] = h.ID
	})
	return out, err
}

// Source returns the identity of p in imports and exports.
func (p *WholeProduct) Source() string { return sourceOf(p.ID, p.Imported) }

func sourceOf(i id.ID, known *Imported) string {
	if known != nil {
		return known.Source
	}
	return OwnSource + string(i)
}

// ProductsNow returns whole products as they are in the database now, by their ids, without an access
// check. A missing one is left out.
func (s *Store) ProductsNow(ctx context.Context, ids []id.ID) (map[id.ID]*WholeProduct, error) {
	access.MarkPrivate(ctx)
	found, err := find[WholeProduct](ctx, s.collection(products), in("_id", ids), nil)
	out := make(map[id.ID]*WholeProduct, len(found))
	for _, p := range found {
		out[p.ID] = p
	}
	return out, err
}

// AddProduct stores a new product, as Kind.Add does.
func (s *Store) AddProduct(ctx context.Context, p *WholeProduct) error {
	return Products.add(ctx, s, &p.Product, p, partKeys(nil, p))
}

// ChangeProduct replaces the product before, as it was read, by after, as Kind.Change does.
func (s *Store) ChangeProduct(ctx context.Context, before, after *WholeProduct) error {
	return Products.change(ctx, s, &before.Product, &after.Product, before, after, partKeys(before, after))
}

// DeleteProduct deletes a product with its variants, as Kind.Delete does.
func (s *Store) DeleteProduct(ctx context.Context, p *WholeProduct) error {
	return Products.delete(ctx, s, &p.Product, partKeys(p, nil))
}

// partKeys are the keys of the variants and of the description that differ between before and after.
// Nil stands for no product.
func partKeys(before, after *WholeProduct) []string {
	var parts [2]map[string]any
	for side, p := range []*WholeProduct{before, after} {
		if p == nil {
			continue
		}
		parts[side] = map[string]any{string(p.DescriptionID()): p.Description}
		for at := range p.Variants {
			parts[side][string(p.Variants[at].ID)] = *p.VariantAt(at)
		}
	}
	var keys []string
	for side := range parts {
		for key, part := range parts[side] {
			if !reflect.DeepEqual(part, parts[1-side][key]) {
				keys = append(keys, key)
			}
		}
	}
	return compact(keys)
}

// VariantAt returns the variant at a position as Variants has it.
func (p *WholeProduct) VariantAt(at int) *Variant {
	v := p.Variants[at]
	v.ProductID, v.Status = p.ID, p.Status
	return &v
}

// Summarise sets the fields of p that follow from its variants: options, ids and prices.
func (p *WholeProduct) Summarise() {
	p.Options, p.VariantIDs, p.PriceRange = []ProductOption{}, make([]id.ID, len(p.Variants)), nil
	for i := range p.Variants {
		v := &p.Variants[i]
		p.VariantIDs[i] = v.ID
		for at, o := range v.Options {
			if i == 0 {
				p.Options = append(p.Options, ProductOption{Name: o.Name})
			}
			if !slices.Contains(p.Options[at].Values, o.Value) {
				p.Options[at].Values = append(p.Options[at].Values, o.Value)
			}
		}
		price := v.Price()
		switch {
		case price == nil || p.PriceRange != nil && price.Currency != p.PriceRange.Lowest.Currency:
		case p.PriceRange == nil:
			p.PriceRange = &PriceRange{*price, *price}
		case price.Minor < p.PriceRange.Lowest.Minor:
			p.PriceRange.Lowest = *price
		case price.Minor > p.PriceRange.Highest.Minor:
			p.PriceRange.Highest = *price
		}
	}
}
