package shop

// Creating, changing and deleting the variants of a product. Each is a change of the product. Entry
// points: CreateVariant, UpdateVariant, DeleteVariant.

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stoa/access"
	"stoa/edit"
	"stoa/id"
	"stoa/money"
	"stoa/problem"
	"stoa/store"
)

// Limits of variants.
const (
	MaxVariants = 250
	MaxOptions  = 5
	MaxGrams    = 100_000_000 // a hundred tonnes
)

// VariantInput is a new variant of a product; nil for an omitted value.
type VariantInput struct {
	SKU, Barcode     *string
	Options          []*SelectedOptionInput
	Price            *money.Decimal
	CompareAtPrice   *money.Decimal
	WeightGrams      *int64
	RequiresShipping *bool
}

// SelectedOptionInput is the value of one option.
type SelectedOptionInput struct{ Name, Value string }

// VariantCreateInput is the input of CreateVariant.
type VariantCreateInput struct {
	ProductID      id.ID
	Variant        *VariantInput
	IdempotencyKey *string `json:"-"`
}

// VariantUpdateInput is the input of UpdateVariant; nil for a value that stays.
type VariantUpdateInput struct {
	ID              id.ID
	ExpectedVersion *int64 // of the product; nil for any
	Variant         *VariantInput
}

// VariantDeleteInput is the input of DeleteVariant.
type VariantDeleteInput struct {
	ID              id.ID
	ExpectedVersion *int64 // of the product; nil for any
}

// CreateVariant adds a variant to a product, as its last one, for staff.
func (s *Shop) CreateVariant(ctx context.Context, in VariantCreateInput) (Result, error) {
	v, err := access.Require(ctx, access.Staff)
	if err != nil {
		return Result{}, err
	}
	var made store.Variant
	if err := s.applyVariant(&made, *in.Variant); err != nil {
		return Result{}, problem.Beneath(err, "variant")
	}
	o, err := edit.Begin(ctx, s.store, string(v.Account), "variantCreate", in.IdempotencyKey, in)
	if err != nil {
		return Result{}, err
	}
	made.ID = o.ID(id.Variant)
	out, err := s.change(ctx, edit.Change[store.WholeProduct]{ID: in.ProductID,
		Apply: func(_ context.Context, _ access.Viewer, p *store.WholeProduct) error {
			if at := position(p, made.ID); at >= 0 { // an equal request was faster
				return nil
			}
			p.Variants = append(slices.Clone(p.Variants), made)
			return changedVariants(p)
		},
	})
	if problem.Is(err, problem.NotFound) {
		err = problem.New(problem.NotFound, "%s", err).At("productId")
	}
	return out.about(made.ID), err
}

// UpdateVariant changes a variant, for staff.
func (s *Shop) UpdateVariant(ctx context.Context, in VariantUpdateInput) (Result, error) {
	out, err := s.changeVariant(ctx, in.ID, in.ExpectedVersion, func(p *store.WholeProduct, at int) error {
		return problem.Beneath(s.applyVariant(&p.Variants[at], *in.Variant), "variant")
	})
	return out.about(in.ID), err
}

// DeleteVariant deletes a variant, for staff. The last variant of a published product stays: then
// DeleteVariant returns Invalid.
func (s *Shop) DeleteVariant(ctx context.Context, in VariantDeleteInput) (Result, error) {
	return s.changeVariant(ctx, in.ID, in.ExpectedVersion, func(p *store.WholeProduct, at int) error {
		if len(p.Variants) == 1 && p.Public() {
			return problem.New(problem.Invalid, "this is the last variant of a published product: unpublish the product first")
		}
		p.Variants = slices.Delete(p.Variants, at, at+1)
		return nil
	})
}

// changeVariant changes the product of a variant. apply gets the variant's position among
// variants that it may change.
func (s *Shop) changeVariant(ctx context.Context, variant id.ID, expected *int64, apply func(p *store.WholeProduct, at int) error) (Result, error) {
	if _, err := access.Require(ctx, access.Staff); err != nil {
		return Result{}, err
	}
	of, err := s.store.ProductOfVariant(ctx, variant)
	if err != nil {
		return Result{}, problem.Locate(err, "id")
	}
	return s.change(ctx, edit.Change[store.WholeProduct]{ID: of.ID, Expected: expected,
		Apply: func(_ context.Context, _ access.Viewer, p *store.WholeProduct) error {
			at := position(p, variant)
			if at < 0 { // somebody was faster
				return problem.New(problem.NotFound, "there is no variant with the id %s", variant).At("id")
			}
			p.Variants = slices.Clone(p.Variants)
			if err := apply(p, at); err != nil {
				return err
			}
			return changedVariants(p)
		},
	})
}

// about adds the variant that a mutation was about to its outcome.
func (r Result) about(variant id.ID) Result {
	if r.whole == nil {
		return r
	}
	if at := position(r.whole, variant); at >= 0 {
		r.Variant = r.whole.VariantAt(at)
	}
	return r
}

// changedVariants checks the variants of a product after a change of one, and sets what follows from
// them.
func changedVariants(p *store.WholeProduct) error {
	if at, err := checkVariants(p); at < 0 {
		return err
	} else if err != nil {
		return problem.Beneath(err, "variant")
	}
	p.Summarise()
	return nil
}

func position(p *store.WholeProduct, variant id.ID) int {
	return slices.IndexFunc(p.Variants, func(v store.Variant) bool { return v.ID == variant })
}

// variantPart names the variant at a position, for an id that follows from the request.
func variantPart(at int) string { return "variant " + strconv.Itoa(at) }

// applyVariant makes the changes to a variant.
func (s *Shop) applyVariant(v *store.Variant, in VariantInput) (err error) {
	if err := edit.SetLine(&v.SKU, in.SKU, "sku", 0, MaxName); err != nil {
		return err
	}
	if err := edit.SetLine(&v.Barcode, in.Barcode, "barcode", 0, MaxName); err != nil {
		return err
	}
	if in.Options != nil || v.Options == nil {
		if v.Options, err = selected(in.Options); err != nil {
			return err
		}
	}
	if in.WeightGrams != nil {
		if *in.WeightGrams < 0 || *in.WeightGrams > MaxGrams {
			return problem.New(problem.Invalid, "weightGrams takes 0 to %d, not %d", MaxGrams, *in.WeightGrams).At("weightGrams")
		}
		v.Grams = *in.WeightGrams
	}
	if in.RequiresShipping != nil {
		v.Digital = !*in.RequiresShipping
	}
	return s.applyPrices(v, in, store.Now())
}

// applyPrices sets the price and the compare-at price of a variant, at a time.
func (s *Shop) applyPrices(v *store.Variant, in VariantInput, at time.Time) error {
	if v.Prices == nil {
		v.Prices = []store.VariantPrice{}
	}
	if in.Price == nil && in.CompareAtPrice == nil {
		return nil
	}
	var price store.VariantPrice
	first := len(v.Prices) == 0 // it was never on sale, so nothing is reduced
	there := len(v.Prices) > 0 && v.Prices[0].Currency == s.currency
	if there {
		price = v.Prices[0]
	}
	if in.Price != nil {
		m, err := s.amount(*in.Price, "price")
		if err != nil {
			return err
		}
		if !there {
			price, there = store.VariantPrice{Money: m}, true
		}
		reprice(&price, m.Minor, at)
	}
	if in.CompareAtPrice != nil {
		m, err := s.amount(*in.CompareAtPrice, "compareAtPrice")
		if err != nil {
			return err
		}
		if !there {
			return problem.New(problem.Invalid, "a variant with a compare-at price has a price, too").At("compareAtPrice")
		}
		switch {
		case m.Minor == 0:
			price.CompareAt = nil
		case first:
			price.CompareAt = &m.Minor
		default:
			announce(&price, m.Minor, at)
		}
	}
	v.Prices = []store.VariantPrice{price}
	return nil
}

// amount reads a price in the shop's currency.
func (s *Shop) amount(in money.Decimal, field string) (money.Money, error) {
	m, err := money.Parse(in, s.currency)
	if err == nil && m.Minor < 0 {
		err = fmt.Errorf("a price is at least 0, not %s", in)
	}
	if err != nil {
		return m, problem.New(problem.Invalid, "%s", err).At(field)
	}
	return m, nil
}

// selected reads the options of a variant.
func selected(in []*SelectedOptionInput) ([]store.SelectedOption, error) {
	if len(in) > MaxOptions {
		return nil, problem.New(problem.Invalid, "a product has at most %d options, not %d", MaxOptions, len(in)).At("options")
	}
	out := make([]store.SelectedOption, len(in))
	for n, o := range in {
		at := []string{"options", strconv.Itoa(n)}
		name, err := edit.Line(o.Name, "name", 1, MaxName)
		if err != nil {
			return nil, problem.Beneath(err, at...)
		}
		value, err := edit.Line(o.Value, "value", 1, MaxName)
		if err != nil {
			return nil, problem.Beneath(err, at...)
		}
		if slices.ContainsFunc(out[:n], func(other store.SelectedOption) bool { return other.Name == name }) {
			return nil, problem.New(problem.Invalid, "the option %q has two values", name).At(at...)
		}
		out[n] = store.SelectedOption{Name: name, Value: value}
	}
	return out, nil
}

// checkVariants checks the variants of a product against each other: all have the same options, in
// the order of the first one's, no two have the same values, and no two the same SKU. With an error it
// returns the position of the variant at fault; -1 for all together.
func checkVariants(p *store.WholeProduct) (int, error) {
	if len(p.Variants) > MaxVariants {
		return -1, problem.New(problem.Invalid, "a product has at most %d variants, not %d", MaxVariants, len(p.Variants))
	}
	combinations, codes := map[string]bool{}, map[string]bool{}
	for n := range p.Variants {
		v, first := &p.Variants[n], p.Variants[0].Options
		ordered := make([]store.SelectedOption, 0, len(first))
		for _, of := range first {
			at := slices.IndexFunc(v.Options, func(o store.SelectedOption) bool { return o.Name == of.Name })
			if at >= 0 {
				ordered = append(ordered, v.Options[at])
			}
		}
		if len(ordered) != len(first) || len(v.Options) != len(first) {
			return n, problem.New(problem.Invalid, "all variants of a product have the same options: %s, not %s", names(first), names(v.Options)).At("options")
		}
		v.Options = ordered
		combination := fmt.Sprintf("%q", ordered)
		switch {
		case combinations[combination] && len(first) == 0:
			return n, problem.New(problem.Invalid, "the variants of a product differ in options, such as a size: give each a value").At("options")
		case combinations[combination]:
			return n, problem.New(problem.Invalid, "two variants have the options %s", values(ordered)).At("options")
		case v.SKU != "" && codes[v.SKU]:
			return n, problem.New(problem.Invalid, "two variants of the product have the SKU %q", v.SKU).At("sku")
		}
		combinations[combination], codes[v.SKU] = true, true
	}
	return 0, nil
}

func names(of []store.SelectedOption) string {
	if len(of) == 0 {
		return "none"
	}
	var out []string
	for _, o := range of {
		out = append(out, strconv.Quote(o.Name))
	}
	return strings.Join(out, ", ")
}

func values(of []store.SelectedOption) string {
	var out []string
	for _, o := range of {
		out = append(out, strconv.Quote(o.Value))
	}
	return strings.Join(out, " / ")
}

// Choose returns the variant with the options; nil if there is none.
func Choose(variants []*store.Variant, options []*SelectedOptionInput) *store.Variant {
	for _, v := range variants {
		if len(v.Options) == len(options) && !slices.ContainsFunc(options, func(o *SelectedOptionInput) bool {
			return !slices.Contains(v.Options, store.SelectedOption{Name: o.Name, Value: o.Value})
		}) {
			return v
		}
	}
	return nil
}
