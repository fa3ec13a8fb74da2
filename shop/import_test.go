package shop

// Tests of imports: repetition, changes of staff, variants that come and go.

import (
	"slices"
	"strings"
	"testing"

	"stoa/access"
	"stoa/money"
	"stoa/problem"
	"stoa/store"
)

// kite is a product in a file, in two sizes.
func kite() ProductImport {
	return ProductImport{Source: "shopify/kite", Slug: "kite", Title: "Kite", Vendor: "Wind", Tags: []string{"toys"}, Markdown: "It flies.", Published: true, Variants: []VariantImport{
		{Key: "S", Options: [][2]string{{"Size", "S"}}, SKU: "K-S", Price: "8.28"}, {Key: "M", Options: [][2]string{{"Size", "M"}}, SKU: "K-M", Price: "10"},
	}}
}

// take imports a product and checks the outcome.
func take(t *testing.T, s *Shop, in ProductImport, want ImportStatus) []string {
	t.Helper()
	i, err := s.BeginImport(t.Context(), false)
	check(t, err)
	status, notes, err := i.Add(t.Context(), in)
	check(t, err)
	if status != want {
		t.Fatalf("%s is %s, not %s", in.Source, status, want)
	}
	return notes
}

// only returns the product of a source.
func only(t *testing.T, db *store.Store, source string) *store.WholeProduct {
	t.Helper()
	known, err := db.ProductSources(t.Context())
	check(t, err)
	p, err := db.ProductNow(by(t, access.Staff), known[source])
	check(t, err)
	return p
}

func TestAnImportThatIsRepeatedWritesNothing(t *testing.T) {
	s, db := open(t)
	take(t, s, kite(), Created)
	before := only(t, db, "shopify/kite")
	if before.Variants[0].Price().Minor != 828 || !before.Public() || before.Slug != "kite" {
		t.Errorf("imported is %+v", before)
	}
	if notes := take(t, s, kite(), Unchanged); len(notes) > 0 || only(t, db, "shopify/kite").Version != before.Version {
		t.Errorf("a repetition has the notes %q", notes)
	}
}

func TestAFieldThatStaffChangedIsReplacedOnlyIfTheFileHasChangedIt(t *testing.T) {
	s, db := open(t)
	take(t, s, kite(), Created)
	p := only(t, db, "shopify/kite")
	ctx := by(t, access.Staff)
	_, err := s.UpdateProduct(ctx, ProductUpdateInput{ID: p.ID, ExpectedVersion: p.Version, Title: new("Red kite"), Tags: []string{"sport"}})
	check(t, err)
	_, err = s.UpdateVariant(ctx, VariantUpdateInput{ID: p.Variants[1].ID, Variant: &VariantInput{Price: new(money.Decimal("12"))}})
	check(t, err)

	in := kite()
	in.Vendor, in.Variants[0].Price = "Storm", "7.50"
	if notes := take(t, s, in, Changed); len(notes) > 0 {
		t.Errorf("the notes are %q", notes)
	}
	p = only(t, db, "shopify/kite")
	if p.Title != "Red kite" || !slices.Equal(p.Tags, []string{"sport"}) || p.Variants[1].Price().Minor != 1200 {
		t.Errorf("what staff changed is lost: %q, %q, %v", p.Title, p.Tags, p.Variants[1].Price())
	}
	if p.Vendor != "Storm" || p.Variants[0].Price().Minor != 750 || p.Variants[0].PriorPrice().Minor != 828 || p.PriceRange.Lowest.Minor != 750 {
		t.Errorf("what the file changed is missing: %q, %+v", p.Vendor, p.Variants[0].Prices)
	}

	in.Title = "Blue kite"
	notes := take(t, s, in, Changed)
	if p = only(t, db, "shopify/kite"); p.Title != "Blue kite" || !slices.Equal(p.Tags, []string{"sport"}) {
		t.Errorf("changed in the file as well: %q, %q", p.Title, p.Tags)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "Red kite") {
		t.Errorf("the value of staff isn't told: %q", notes)
	}
}

func TestAVariantThatTheFileLacksStaysAndANewOneIsAdded(t *testing.T) {
	s, db := open(t)
	take(t, s, kite(), Created)
	in := kite()
	in.Variants[0] = VariantImport{Key: "L", Options: [][2]string{{"Size", "L"}}, Price: "11"}
	in.Variants[1].Key, in.Variants[1].Options[0][1] = "Medium", "Medium" // the SKU is that of M
	notes := take(t, s, in, Changed)
	p := only(t, db, "shopify/kite")
	if got := p.Options[0].Values; !slices.Equal(got, []string{"S", "Medium", "L"}) {
		t.Errorf("the sizes are %q", got)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], `no variant "S" any more`) {
		t.Errorf("the notes are %q", notes)
	}
	take(t, s, in, Unchanged)
}

func TestTwoImportsAtOnceMakeOneProduct(t *testing.T) {
	s, _ := open(t)
	var both [2]*Importing
	for n := range both {
		var err error
		both[n], err = s.BeginImport(t.Context(), false)
		check(t, err)
	}
	for _, i := range both {
		if _, _, err := i.Add(t.Context(), kite()); err != nil {
			t.Error(err)
		}
	}
	published, err := s.Products(store.Window{First: new(5)})
	check(t, err)
	page, err := published.Page(t.Context())
	check(t, err)
	if len(page.Entries) != 1 {
		t.Errorf("there are %d products", len(page.Entries))
	}
}

func TestADryImportWritesNothing(t *testing.T) {
	s, db := open(t)
	dry := func(in ProductImport, want ImportStatus) {
		t.Helper()
		i, err := s.BeginImport(t.Context(), true)
		check(t, err)
		if got, _, err := i.Add(t.Context(), in); got != want || err != nil {
			t.Errorf("it is %s, %v, not %s", got, err, want)
		}
	}
	dry(kite(), Created)
	if known, err := db.ProductSources(t.Context()); err != nil || len(known) > 0 {
		t.Errorf("it wrote %v, %v", known, err)
	}
	take(t, s, kite(), Created)
	in := kite()
	in.Title = "Another"
	dry(in, Changed)
	if p := only(t, db, "shopify/kite"); p.Title != "Kite" {
		t.Errorf("the title is %q", p.Title)
	}
}

func TestAProductThatCannotBeStoredIsRefusedAlone(t *testing.T) {
	s, _ := open(t)
	cases := map[string]struct {
		reason string
		change func(*ProductImport)
	}{
		"Digits":   {"a cent is the smallest amount", func(p *ProductImport) { p.Variants[0].Price = "8.285" }},
		"Negative": {"nobody is paid for buying", func(p *ProductImport) { p.Variants[0].Price = "-1" }},
		"Currency": {"the shop sells in EUR", func(p *ProductImport) { p.Variants[0].Currency = "USD" }},
		"Title":    {"a product has a name", func(p *ProductImport) { p.Title = " " }},
		"Options":  {"all variants have the same options", func(p *ProductImport) { p.Variants[1].Options = nil }},
		"Keys":     {"a key names one variant", func(p *ProductImport) { p.Variants[1].Key = "S" }},
		"None":     {"nobody can buy it", func(p *ProductImport) { p.Variants = nil }},
	}
	for name, c := range cases {
		i, err := s.BeginImport(t.Context(), false)
		check(t, err)
		in := kite()
		c.change(&in)
		_, _, err = i.Add(t.Context(), in)
		if !problem.Is(err, problem.Invalid) || !Refused(err) {
			t.Errorf("%s: %v: %s", name, err, c.reason)
		}
	}
}
