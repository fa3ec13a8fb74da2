package shop

// Tests of products and variants over a database of their own: what is accepted, what is refused,
// what a card knows, and writers that meet.

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"stoa/access"
	"stoa/id"
	"stoa/money"
	"stoa/problem"
	"stoa/store"
	"stoa/tests/storetest"
)

func open(t *testing.T) (*Shop, *store.Store) {
	t.Helper()
	s, _ := storetest.Open(t)
	return New(s, "EUR"), s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// by returns the context of a response to somebody with a role; "" for nobody.
func by(t *testing.T, role access.Role) context.Context {
	t.Helper()
	ctx, _ := access.Begin(t.Context(), access.Request{})
	if role != "" {
		access.Become(ctx, access.Viewer{Account: id.New(id.Account), Role: role})
	}
	return ctx
}

// sized is a variant with a size; price "" for none.
func sized(size, price string) *VariantInput {
	v := &VariantInput{Options: []*SelectedOptionInput{{"Size", size}}}
	if price != "" {
		v.Price = new(money.Decimal(price))
	}
	return v
}

func shirt(t *testing.T, s *Shop, variants ...*VariantInput) *store.Product {
	t.Helper()
	made, err := s.CreateProduct(by(t, access.Staff), ProductCreateInput{Title: "Shirt", Variants: variants})
	check(t, err)
	return made.Product
}

func publish(t *testing.T, s *Shop, p *store.Product) {
	t.Helper()
	_, err := s.PublishProduct(by(t, access.Staff), ProductPublishInput{ID: p.ID})
	check(t, err)
}

func variantsOf(t *testing.T, s *store.Store, p *store.Product) []*store.Variant {
	t.Helper()
	found, err := store.Variants.All(t.Context(), s, p.VariantIDs)
	check(t, err)
	return found
}

func TestACardKnowsOptionsAndPricesOfItsVariants(t *testing.T) {
	s, db := open(t)
	p := shirt(t, s, sized("S", "19.90"), sized("M", ""), sized("L", "21"), sized("XL", "8.28"))
	want := []store.ProductOption{{Name: "Size", Values: []string{"S", "M", "L", "XL"}}}
	if !reflect.DeepEqual(p.Options, want) {
		t.Errorf("the options are %v", p.Options)
	}
	if r := p.PriceRange; r == nil || r.Lowest.Amount() != "8.28" || r.Highest.Amount() != "21.00" {
		t.Errorf("the prices are %v", r)
	}
	ctx := by(t, access.Staff)
	last := p.VariantIDs[3]
	_, err := s.DeleteVariant(ctx, VariantDeleteInput{ID: last})
	check(t, err)
	changed, err := s.UpdateVariant(ctx, VariantUpdateInput{ID: p.VariantIDs[2], Variant: &VariantInput{Price: new(money.Decimal("1999.99"))}})
	check(t, err)
	if got := changed.Product; got.PriceRange.Lowest.Minor != 1990 || got.PriceRange.Highest.Minor != 199999 || !slices.Equal(got.Options[0].Values, []string{"S", "M", "L"}) {
		t.Errorf("after a change: %v of %v", got.PriceRange, got.Options)
	}
	if gone, err := store.Variants.For(ctx, db, []id.ID{last}); err != nil || gone[0] != nil {
		t.Errorf("the deleted variant is %v, %v", gone[0], err)
	}
}

// A compare-at price that isn't above the price is kept, and is no sale.
func TestASaleIsAPriceBelowTheCompareAtPrice(t *testing.T) {
	s, db := open(t)
	cases := map[string]struct {
		price, before string
		sale          bool
	}{
		"Below": {"8", "10", true}, "Equal": {"10", "10", false}, "Above": {"12", "10", false}, "Removed": {"8", "0", false}, "Free": {"0", "10", true},
	}
	for name, c := range cases {
		v := sized("S", c.price)
		v.CompareAtPrice = new(money.Decimal(c.before))
		got := variantsOf(t, db, shirt(t, s, v))[0]
		if got.OnSale() != c.sale || (got.CompareAtPrice() == nil) != (c.before == "0") {
			t.Errorf("%s: on sale %v, compared with %v", name, got.OnSale(), got.CompareAtPrice())
		}
	}
}

func TestVariantsThatDontFitAreRefused(t *testing.T) {
	s, _ := open(t)
	many := make([]*VariantInput, MaxVariants+1)
	for n := range many {
		many[n] = sized(fmt.Sprint(n), "1")
	}
	with := func(v *VariantInput, change func(*VariantInput)) *VariantInput {
		change(v)
		return v
	}
	coded := func(size string) *VariantInput {
		return with(sized(size, "1"), func(v *VariantInput) { v.SKU = new("A") })
	}
	cases := map[string]struct {
		variants []*VariantInput
		path     string
		message  string
	}{
		"SameOptions":   {[]*VariantInput{sized("S", "1"), sized("S", "2")}, "variants 1 options", `two variants have the options "S"`},
		"NoOptions":     {[]*VariantInput{{}, {}}, "variants 1 options", "differ in options"},
		"OtherOptions":  {[]*VariantInput{sized("S", "1"), {Options: []*SelectedOptionInput{{"Colour", "red"}}}}, "variants 1 options", `the same options: "Size", not "Colour"`},
		"FewerOptions":  {[]*VariantInput{sized("S", "1"), {}}, "variants 1 options", `"Size", not none`},
		"TwiceAnOption": {[]*VariantInput{{Options: []*SelectedOptionInput{{"Size", "S"}, {"Size", "M"}}}}, "variants 0 options 1", "has two values"},
		"NoValue":       {[]*VariantInput{sized("", "1")}, "variants 0 options 0 value", "1 to 100"},
		"SKU":           {[]*VariantInput{coded("S"), coded("M")}, "variants 1 sku", `have the SKU "A"`},
		"Many":          {many, "variants", "at most 250 variants, not 251"},
		"Negative":      {[]*VariantInput{sized("S", "1"), sized("M", "-1")}, "variants 1 price", "at least 0"},
		"Fraction":      {[]*VariantInput{sized("S", "1.005")}, "variants 0 price", "at most 2 after the point"},
		"Unpriced": {[]*VariantInput{with(sized("S", ""), func(v *VariantInput) { v.CompareAtPrice = new(money.Decimal("2")) })},
			"variants 0 compareAtPrice", "has a price, too"},
		"Weight": {[]*VariantInput{with(sized("S", "1"), func(v *VariantInput) { v.WeightGrams = new(int64(-1)) })}, "variants 0 weightGrams", "0 to 100000000"},
	}
	for name, c := range cases {
		_, err := s.CreateProduct(by(t, access.Staff), ProductCreateInput{Title: "Shirt", Variants: c.variants})
		p, ok := err.(*problem.Error)
		if !ok || p.Code != problem.Invalid || strings.Join(p.Path, " ") != c.path || !strings.Contains(p.Message, c.message) {
			t.Errorf("%s: %v at %v", name, err, p)
		}
	}
}

// Options may come in any order. All variants have them in the order of the first one's.
func TestOptionsGetTheOrderOfTheFirstVariant(t *testing.T) {
	s, db := open(t)
	p := shirt(t, s,
		&VariantInput{Options: []*SelectedOptionInput{{"Size", "S"}, {"Colour", "red"}}},
		&VariantInput{Options: []*SelectedOptionInput{{"Colour", "blue"}, {"Size", "S"}}})
	all := variantsOf(t, db, p)
	if want := []store.SelectedOption{{Name: "Size", Value: "S"}, {Name: "Colour", Value: "blue"}}; !slices.Equal(all[1].Options, want) {
		t.Errorf("the options are %v", all[1].Options)
	}
	for _, order := range [][]*SelectedOptionInput{{{"Size", "S"}, {"Colour", "blue"}}, {{"Colour", "blue"}, {"Size", "S"}}} {
		if got := Choose(all, order); got != all[1] {
			t.Errorf("chosen is %v", got)
		}
	}
	for _, none := range [][]*SelectedOptionInput{nil, {{"Size", "S"}}, {{"Size", "S"}, {"Colour", "green"}}} {
		if got := Choose(all, none); got != nil {
			t.Errorf("chosen is %v for too little or nothing", got)
		}
	}
}

func TestOnlyStaffChangeProductsAndSeeDrafts(t *testing.T) {
	s, db := open(t)
	p := shirt(t, s, sized("S", "1"))
	variant := p.VariantIDs[0]
	for _, role := range []access.Role{"", access.Customer, access.Author, access.Editor} {
		ctx := by(t, role)
		if found, err := s.Product(ctx, p.Slug); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s sees the draft %v, %v", role, found, err)
		}
		for what, read := range map[string]func() ([]*store.Variant, error){
			"for a viewer": func() ([]*store.Variant, error) { return store.Variants.For(ctx, db, []id.ID{variant}) },
			"for all":      func() ([]*store.Variant, error) { return db.PublicVariants(ctx, []id.ID{variant}) },
		} {
			if found, err := read(); err != nil || found[0] != nil {
				t.Errorf("%s sees the draft's variant %s: %v, %v", role, what, found[0], err)
			}
		}
		for what, do := range map[string]func() (Result, error){
			"CreateProduct":    func() (Result, error) { return s.CreateProduct(ctx, ProductCreateInput{Title: "Shirt"}) },
			"UpdateProduct":    func() (Result, error) { return s.UpdateProduct(ctx, ProductUpdateInput{ID: p.ID, ExpectedVersion: 1}) },
			"PublishProduct":   func() (Result, error) { return s.PublishProduct(ctx, ProductPublishInput{ID: p.ID}) },
			"UnpublishProduct": func() (Result, error) { return s.UnpublishProduct(ctx, ProductUnpublishInput{ID: p.ID}) },
			"DeleteProduct":    func() (Result, error) { return s.DeleteProduct(ctx, ProductDeleteInput{ID: p.ID}) },
			"CreateVariant": func() (Result, error) {
				return s.CreateVariant(ctx, VariantCreateInput{ProductID: p.ID, Variant: sized("M", "1")})
			},
			"UpdateVariant": func() (Result, error) {
				return s.UpdateVariant(ctx, VariantUpdateInput{ID: variant, Variant: sized("M", "1")})
			},
			"DeleteVariant": func() (Result, error) { return s.DeleteVariant(ctx, VariantDeleteInput{ID: variant}) },
		} {
			if out, err := do(); !problem.Is(err, problem.Forbidden) && !problem.Is(err, problem.Unauthenticated) {
				t.Errorf("%s may %s: %v, %v", role, what, out, err)
			}
		}
	}
	publish(t, s, p)
	if found, err := s.Product(by(t, ""), p.Slug); err != nil || found.ID != p.ID || found.PublishedAt == nil {
		t.Errorf("nobody sees the published product: %v, %v", found, err)
	}
	if found, err := db.PublicVariants(by(t, ""), []id.ID{variant}); err != nil || found[0] == nil || found[0].ProductID != p.ID {
		t.Errorf("nobody sees the published variant: %v, %v", found[0], err)
	}
	_, err := s.UnpublishProduct(by(t, access.Staff), ProductUnpublishInput{ID: p.ID})
	check(t, err)
	if found, err := db.PublicVariants(by(t, ""), []id.ID{variant}); err != nil || found[0] != nil {
		t.Errorf("everybody sees the variant of a withdrawn product: %v, %v", found[0], err)
	}
}

func TestAPublishedProductHasAVariant(t *testing.T) {
	s, _ := open(t)
	ctx := by(t, access.Staff)
	p := shirt(t, s)
	if _, err := s.PublishProduct(ctx, ProductPublishInput{ID: p.ID}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a product without variants is published: %v", err)
	}
	made, err := s.CreateVariant(ctx, VariantCreateInput{ProductID: p.ID, Variant: sized("S", "1")})
	check(t, err)
	publish(t, s, p)
	if _, err := s.DeleteVariant(ctx, VariantDeleteInput{ID: made.Variant.ID}); !problem.Is(err, problem.Invalid) {
		t.Errorf("its last variant is deleted: %v", err)
	}
}

// A request that is repeated with its key, at once and later, adds one variant.
func TestARepeatedVariantIsOne(t *testing.T) {
	s, db := open(t)
	p, ctx := shirt(t, s), by(t, access.Staff)
	in := VariantCreateInput{ProductID: p.ID, Variant: sized("S", "1"), IdempotencyKey: new("a-key-that-is-long-enough-1")}
	var mu sync.Mutex
	seen := map[id.ID]bool{}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			out, err := s.CreateVariant(ctx, in)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || out.Variant == nil {
				t.Errorf("%+v, %v", out, err)
				return
			}
			seen[out.Variant.ID] = true
		})
	}
	all.Wait()
	now, err := db.ProductNow(t.Context(), p.ID)
	check(t, err)
	if len(seen) != 1 || len(now.Variants) != 1 || now.Version != 2 {
		t.Errorf("%d ids, %d variants, version %d", len(seen), len(now.Variants), now.Version)
	}
}

// Ten writers add a variant each at once: none is lost.
func TestVariantsOfManyWritersAreAllThere(t *testing.T) {
	s, db := open(t)
	p := shirt(t, s)
	var all sync.WaitGroup
	for n := range 10 {
		ctx := by(t, access.Staff)
		all.Go(func() {
			if _, err := s.CreateVariant(ctx, VariantCreateInput{ProductID: p.ID, Variant: sized(fmt.Sprint(n), "1")}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	now, err := store.Products.Now(t.Context(), db, []id.ID{p.ID})
	check(t, err)
	if len(now[0].VariantIDs) != 10 || len(now[0].Options[0].Values) != 10 {
		t.Errorf("%d variants, %v", len(now[0].VariantIDs), now[0].Options)
	}
}

// A change of one variant leaves the cached others, the description and the list as they are; a
// change that changes nothing writes nothing.
func TestAChangeOfAVariantChangesNothingElse(t *testing.T) {
	s, db := open(t)
	p := shirt(t, s, sized("S", "1"), sized("M", "2"))
	publish(t, s, p)
	before := variantsOf(t, db, p)
	text, err := store.Descriptions.All(t.Context(), db, []id.ID{p.DescriptionID()})
	check(t, err)
	ctx := by(t, access.Staff)
	for range 2 {
		_, err = s.UpdateVariant(ctx, VariantUpdateInput{ID: p.VariantIDs[0], Variant: &VariantInput{Price: new(money.Decimal("3"))}})
		check(t, err)
	}
	now, err := db.ProductNow(t.Context(), p.ID)
	check(t, err)
	if now.Version != 3 {
		t.Errorf("the product is at version %d", now.Version)
	}
	after := variantsOf(t, db, p)
	if after[0].Price().Minor != 300 || after[1] != before[1] {
		t.Errorf("the other variant was read again, or the changed one wasn't: %v, %v", after[0], after[1])
	}
	same, err := store.Descriptions.All(t.Context(), db, []id.ID{p.DescriptionID()})
	if check(t, err); same[0] != text[0] {
		t.Error("the description was read again")
	}
}

func TestAnExpectedVersionIsOfTheProduct(t *testing.T) {
	s, _ := open(t)
	p, ctx := shirt(t, s, sized("S", "1")), by(t, access.Staff)
	_, err := s.UpdateVariant(ctx, VariantUpdateInput{ID: p.VariantIDs[0], ExpectedVersion: new(int64(1)), Variant: sized("M", "1")})
	check(t, err)
	out, err := s.UpdateProduct(ctx, ProductUpdateInput{ID: p.ID, ExpectedVersion: 1, Title: new("Blouse")})
	if !problem.Is(err, problem.Conflict) || out.Current == nil || out.Current.Version != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	missing := id.New(id.Variant)
	if _, err := s.UpdateVariant(ctx, VariantUpdateInput{ID: missing, Variant: sized("M", "1")}); !problem.Is(err, problem.NotFound) {
		t.Errorf("a variant that isn't there: %v", err)
	}
}

func TestAnUpdateChangesWhatItNames(t *testing.T) {
	s, db := open(t)
	ctx := by(t, access.Staff)
	made, err := s.CreateProduct(ctx, ProductCreateInput{Title: "Pen", Vendor: new("Okafor"), Type: new("Pens"), Tags: []string{"ink", "ink", "blue"}, DescriptionMarkdown: new("*Ink.*")})
	check(t, err)
	p := made.Product
	if !slices.Equal(p.Tags, []string{"ink", "blue"}) {
		t.Errorf("the tags are %v", p.Tags)
	}
	out, err := s.UpdateProduct(ctx, ProductUpdateInput{ID: p.ID, ExpectedVersion: 1, Title: new("Fountain pen"), Slug: new("fountain-pen"), Tags: []string{}})
	check(t, err)
	now, err := db.ProductNow(t.Context(), p.ID)
	check(t, err)
	if now.Title != "Fountain pen" || now.Slug != "fountain-pen" || !slices.Equal(now.OldSlugs, []string{"pen"}) || now.Vendor != "Okafor" || len(now.Tags) != 0 ||
		now.Description.Markdown != "*Ink.*" || !strings.Contains(now.Description.HTML, "<em>Ink.</em>") || !out.Product.UpdatedAt.After(p.UpdatedAt) && out.Product.UpdatedAt != p.UpdatedAt {
		t.Errorf("it is %+v", now)
	}
	if _, err := s.UpdateProduct(ctx, ProductUpdateInput{ID: p.ID, ExpectedVersion: 2, DescriptionMarkdown: new(strings.Repeat("x", 500_001))}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a long description: %v", err)
	}
}
