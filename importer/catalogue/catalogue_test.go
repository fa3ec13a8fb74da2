package catalogue

// Tests of files of products: both dialects of Shopify, mappings, exports, hostile files, and the real
// files in the data folder beside the repository.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/money"
	"stoa/shop"
	"stoa/store"
	"stoa/tests/storetest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open returns an empty shop.
func open(t *testing.T) *shop.Shop {
	t.Helper()
	s, _ := storetest.Open(t)
	return shop.New(s, "EUR")
}

type reader func(context.Context, Options) (Report, error)

func mapped(m Mapping) reader {
	return func(ctx context.Context, o Options) (Report, error) { return Lines(ctx, o, m) }
}

// load imports a text. Every row is in one count.
func load(t *testing.T, s *shop.Shop, read reader, text string) Report {
	t.Helper()
	i, err := s.BeginImport(t.Context(), false)
	check(t, err)
	r, err := read(t.Context(), Options{File: strings.NewReader(text), Size: int64(len(text)), Add: i.Add, Gone: i.Gone})
	check(t, err)
	if sum := r.Created + r.Changed + r.Unchanged + r.Merged + r.Refused; sum != r.Rows {
		t.Errorf("%d of %d rows are counted", sum, r.Rows)
	}
	return r
}

// export returns all products as the command writes them.
func export(t *testing.T, s *shop.Shop) string {
	t.Helper()
	ctx, _ := access.Begin(t.Context(), access.Request{})
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	check(t, s.Export(ctx, func(p shop.ProductImport) error { return encoder.Encode(p) }))
	return b.String()
}

// products reads a text without a shop.
func products(t *testing.T, read reader, text string) ([]shop.ProductImport, Report) {
	t.Helper()
	var out []shop.ProductImport
	r, err := read(t.Context(), Options{File: strings.NewReader(text), Size: int64(len(text)),
		Add: func(_ context.Context, p shop.ProductImport) (shop.ImportStatus, []string, error) {
			out = append(out, p)
			return shop.Created, nil, nil
		}})
	check(t, err)
	return out, r
}

const older = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Variant Requires Shipping,Image Src,Image Position,Image Alt Text,SEO Title,Status\r\n" +
	"kite,Kite,\"<p>It \"\"flies\"\".</p>\r\n\r\n<p>High.</p>\",Wind,Toys,\"red, wind\",true,Size,S,K-S,180.5,7,8.28,10,true,https://x.example/2.jpg,2,Second,For search,active\r\n" +
	"kite,,,,,,,,M,,0,0,9.00,,false,https://x.example/1.jpg,1,,,\r\n" +
	"kite,,,,,,,,,,,,,,,https://x.example/3.jpg,3,,,\r\n" +
	"note,Note,,,,,FALSE,Title,Default Title,,,,,5,,,,,,\r\n"

const newer = "\ufeffTitle,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Option1 name,Option1 value,Option1 Linked To,Price,Compare-at price,Inventory quantity,Weight value (grams),Requires shipping,Product image URL,Image position,Image alt text,SEO title,Colour (product.metafields.custom.colour)\n" +
	"Kite,kite,\"<p>It \"\"flies\"\".</p>\n\n<p>High.</p>\",Wind,Games,Toys,\"red, wind\",TRUE,Active,K-S,Size,S,product.metafields.shopify.size,8.28,10,7,180.5,TRUE,https://x.example/2.jpg,2,Second,For search,red\n" +
	",kite,,,,,,,,,,M,,9.00,,0,0,FALSE,https://x.example/1.jpg,1,,,\n" +
	",kite,,,,,,,,,,,,,,,,,https://x.example/3.jpg,3,,,\n"

func TestBothDialectsOfShopifyMeanTheSame(t *testing.T) {
	old, r := products(t, Shopify, older)
	if r.Created != 4 || len(old) != 2 {
		t.Fatalf("the report is %+v", r)
	}
	p, v := old[0], old[0].Variants[0]
	if p.Source != "shopify/kite" || p.Title != "Kite" || !slices.Equal(p.Tags, []string{"red", "wind"}) || !p.Published || len(p.Variants) != 2 {
		t.Errorf("the product is %+v", p)
	}
	if v.Price != "8.28" || v.CompareAt != "10" || v.Grams != 181 || v.Digital || !p.Variants[1].Digital || !reflect.DeepEqual(v.Options, [][2]string{{"Size", "S"}}) {
		t.Errorf("the variant is %+v", v)
	}
	if !slices.Contains(v.Extra, store.ExtraField{Name: "Variant Grams", Value: "180.5"}) || !slices.Contains(v.Extra, store.ExtraField{Name: "Variant Inventory Qty", Value: "7"}) {
		t.Errorf("kept with the variant is %v", v.Extra)
	}
	if len(p.Pictures) != 3 || p.Pictures[0].URL != "https://x.example/1.jpg" || p.Pictures[1].Alt != "Second" {
		t.Errorf("the pictures are %v", p.Pictures)
	}
	if note := old[1]; note.Published || len(note.Variants) != 1 || note.Variants[0].Options != nil || note.Variants[0].Price != "" || note.Variants[0].CompareAt != "" {
		t.Errorf("a product without options, not published, without a price: %+v", note)
	}
	now, r := products(t, Shopify, newer)
	if r.Created != 3 || len(now) != 1 || r.Columns["Colour (product.metafields.custom.colour)"] != 1 || r.Columns["Option1 Linked To"] != 1 {
		t.Fatalf("the report is %+v", r)
	}
	for _, p := range []*shop.ProductImport{&p, &now[0]} {
		p.Extra = nil
		for n := range p.Variants {
			p.Variants[n].Extra = nil
		}
	}
	if !reflect.DeepEqual(p, now[0]) {
		t.Errorf("the dialects differ:\n%+v\n%+v", p, now[0])
	}
}

// A description of HTML is shown as the other shop shows it: nothing in it is read as Markdown.
func TestADescriptionOfHTMLStaysThat(t *testing.T) {
	for html, want := range map[string]string{
		"<p>It <b>flies</b>.</p>\r\n\r\n    <p>*High* &amp; low.</p>": "<p>It <b>flies</b>.</p>\n\n    <p>*High* &amp; low.</p>",
		"<pre>a\n\n    b</pre>":           "<pre>a\n\n    b</pre>",
		"5 * 3 * 2 is a_b_c # no heading": "5 * 3 * 2 is a_b_c # no heading",
		"Plain words.":                    "<p>Plain words.</p>",
	} {
		rendered, err := markdown.New().Render(t.Context(), markdownOf(html))
		check(t, err)
		if got := string(rendered.HTML); !strings.Contains(got, want) {
			t.Errorf("%q is rendered as %q", html, got)
		}
	}
}

var parts = Mapping{Source: "parts", Identity: []string{"kind", "name"}, Options: []string{"color"}, Missing: "Not stated", Published: true,
	Columns: map[string]string{"name": "title", "kind": "type", "cost": "price"}}

const fans = `{"kind":"fan","name":"Breeze","cost":8.28,"color":"Red","rpm":[800,1500]}
{"kind":"fan","name":"Breeze","cost":8.28,"color":"Red","rpm":[800,1500]}
{"kind":"fan","name":"Breeze","cost":null,"color":null,"rpm":900}
{"kind":"fan","name":"Breeze","cost":9.99,"color":"Red","rpm":900}
{"kind":"pad","name":"Breeze","cost":1.10,"color":"Red"}
`

func TestRowsOfOneIdentityAreVariantsOrMergedOrRefused(t *testing.T) {
	got, r := products(t, mapped(parts), fans)
	if r.Rows != 5 || r.Merged != 1 || r.Refused != 1 || r.Created != 3 || r.Unpriced != 1 {
		t.Errorf("the report is %+v", r)
	}
	if len(r.Refusals) != 1 || r.Refusals[0].Line != 4 || !strings.Contains(r.Refusals[0].Text, "line 1") {
		t.Errorf("the refusals are %v", r.Refusals)
	}
	fan := got[0].Variants
	if len(got) != 2 || len(fan) != 2 || fan[0].Price != "8.28" || fan[1].Options[0] != [2]string{"color", "Not stated"} || got[1].Variants[0].Options != nil {
		t.Errorf("the products are %+v", got)
	}
	if !slices.Contains(fan[0].Extra, store.ExtraField{Name: "rpm", Value: "[800,1500]"}) {
		t.Errorf("kept is %v", fan[0].Extra)
	}
}

// Two products want one slug. The order of the rows doesn't decide on the number.
func TestTheNumberOfASlugFollowsTheIdentity(t *testing.T) {
	lines := strings.SplitAfter(fans, "\n")
	slices.Reverse(lines)
	for _, text := range []string{fans, strings.Join(lines, "")} {
		s := open(t)
		load(t, s, mapped(parts), text)
		if got := export(t, s); !strings.Contains(got, `{"source":"parts/fan/Breeze","slug":"breeze",`) || !strings.Contains(got, `{"source":"parts/pad/Breeze","slug":"breeze-2",`) {
			t.Errorf("the slugs are others: %s", got)
		}
	}
}

func TestAnExportIntoAnEmptyShopIsExportedEqualToTheByte(t *testing.T) {
	first := open(t)
	load(t, first, Shopify, older)
	load(t, first, mapped(parts), fans)
	staff, _ := access.Begin(t.Context(), access.Request{})
	access.Become(staff, access.Viewer{Account: "acc_1", Role: access.Staff})
	made, err := first.CreateProduct(staff, shop.ProductCreateInput{Title: "By hand <&>", Variants: []*shop.VariantInput{{Price: new(money.Decimal("20")), WeightGrams: new(int64(1 << 25))}}})
	check(t, err)
	_, err = first.UpdateVariant(staff, shop.VariantUpdateInput{ID: made.Product.VariantIDs[0], Variant: &shop.VariantInput{Price: new(money.Decimal("15")), CompareAtPrice: new(money.Decimal("20"))}})
	check(t, err)
	kite, err := first.Product(staff, "kite")
	check(t, err)
	_, err = first.UpdateProduct(staff, shop.ProductUpdateInput{ID: kite.ID, ExpectedVersion: kite.Version, Title: new("Staff's kite"), Slug: new("a-kite")})
	check(t, err)

	want := export(t, first)
	for _, kept := range []string{`"reduction":`, `"priceHistory":`, `"oldSlugs":["kite"]`, `"imported":`, `"extra":`, `"remotePictures":`, `"By hand <&>"`} {
		if !strings.Contains(want, kept) {
			t.Errorf("exported is no %s", kept)
		}
	}
	second := open(t)
	if r := load(t, second, Own, want); r.Created != 5 || r.Refused != 0 {
		t.Errorf("the report is %+v", r)
	}
	got := export(t, second)
	if got != want {
		t.Errorf("exported first:\n%s\nand then:\n%s", want, got)
	}
	for _, s := range []*shop.Shop{first, second} {
		if r := load(t, s, Own, want); r.Unchanged != 5 {
			t.Errorf("an export into its own shop changes it: %+v", r)
		}
	}
	// What staff changed before the export is still known to be staff's.
	if r := load(t, second, Shopify, older); r.Unchanged != 4 {
		t.Errorf("the first file again: %+v", r)
	}
	if export(t, second) != want {
		t.Errorf("what staff changed is lost: %s", export(t, second))
	}
}

func TestAWrongRowIsRefusedByItsLineAndTheOthersAreTaken(t *testing.T) {
	head := "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n"
	cases := map[string]struct {
		text   string
		line   int
		reason string
		taken  int
	}{
		"Encoding":   {head + "a,Caf\xe9,,,,1\nb,B,,,,1\n", 2, "UTF-8", 1},
		"Handle":     {head + ",A,,,,1\nb,B,,,,1\n", 2, "no handle", 1},
		"Title":      {head + "a,,,,,1\nb,B,,,,1\n", 2, "no title", 1},
		"Price":      {head + "b,B,,,,1\na,A,,,,1e3\n", 3, "price", 1},
		"Long":       {head + "a,\"" + strings.Repeat("x", 10<<20) + "\",,,,1\nb,B,,,,1\n", 2, "longer than", 1},
		"Quote":      {head + "b,B,,,,1\na,\"A,,,,1\nc,C,,,,1\n", 3, "quote", 1},
		"Columns":    {head + "a,A,,,,1,2,3\nb,B,,,,1\n", 2, "columns", 1},
		"Value":      {head + "a,A,Size,S,,1\na,,,,,2\nb,B,,,,1\n", 3, "no value", 1},
		"Twice":      {head + "a,A,Size,S,,1\na,,,S,,2\nb,B,,,,1\n", 3, "options of line 2", 2},
		"SKU":        {head + "a,A,Size,S,K,1\na,,,M,K,2\nb,B,,,,1\n", 3, "SKU of line 2", 2},
		"LineInText": {head + "b,B,,,,1\nd,\"D\r\n\r\nD\",,,,1\na,A,,,,x\n", 6, "price", 2},
	}
	for name, c := range cases {
		got, r := products(t, Shopify, c.text)
		if len(r.Refusals) != 1 || r.Refusals[0].Line != c.line || !strings.Contains(r.Refusals[0].Text, c.reason) || r.Created != c.taken {
			t.Errorf("%s: taken are %d rows, %d products; refused are %.200v", name, r.Created, len(got), r.Refusals)
		}
	}
}

func TestAFileThatIsNoCatalogueIsRefusedWhole(t *testing.T) {
	for name, c := range map[string]struct{ text, reason string }{
		"Empty":  {"", "empty"},
		"UTF16":  {"\xff\xfeH\x00", "UTF-16"},
		"Header": {"Name,Price\nA,1\n", "Handle"},
		"Twice":  {"Handle,Title,title\na,A,B\n", "twice"},
	} {
		_, err := Shopify(t.Context(), Options{File: strings.NewReader(c.text), Size: int64(len(c.text))})
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWrongLineOfJSONIsRefused(t *testing.T) {
	good := `{"kind":"fan","name":"A"}` + "\n"
	for name, c := range map[string]struct{ line, reason string }{
		"Broken": {`{"kind":"fan",`, "isn't JSON"},
		"List":   {`["fan"]`, "isn't a JSON object"},
		"Twice":  {`{"kind":"fan","name":"B","name":"C"}`, "twice"},
		"None":   {`{"kind":"fan","name":null}`, `no "name"`},
		"Price":  {`{"kind":"fan","name":"B","cost":1e2}`, "price"},
		"Deep":   {strings.Repeat("[", 100_000), "isn't JSON"},
	} {
		_, r := products(t, mapped(parts), good+c.line+"\n"+good)
		if r.Created != 1 || r.Merged != 1 || len(r.Refusals) != 1 || r.Refusals[0].Line != 2 || !strings.Contains(r.Refusals[0].Text, c.reason) {
			t.Errorf("%s: the report is %.300v", name, r)
		}
	}
}

func TestAMappingSaysWhatIsWrongWithIt(t *testing.T) {
	for text, reason := range map[string]string{
		"source: a/b\nidentity: [n]\ncolumns: {n: title}":                 "slash",
		"source: a\ncolumns: {n: title}":                                  "identity",
		"source: a\nidentity: [n]":                                        "title",
		"source: a\nidentity: [n]\ncolumns: {n: colour}":                  "none of",
		"source: a\nidentity: [n]\ncolumns: {n: title, m: title}":         "two columns",
		"source: a\nidentity: [n]\nname: b\ncolumns: {n: title}":          "name",
		`{"source": "stoa", "identity": ["n"], "columns": {"n":"title"}}`: "taken",
	} {
		if _, err := ReadMapping([]byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ReadMapping([]byte(`{"source": "a", "identity": ["n"], "columns": {"n": "title"}}`)); err != nil {
		t.Error(err)
	}
}

// A file of any bytes ends in a report or an error, with each row in one count.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(older))
	f.Add([]byte(newer))
	f.Add([]byte(fans))
	f.Add([]byte("Handle,Title\na,\"\"\"\n\"b\",c\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []reader{Shopify, mapped(parts), Own} {
			r, err := read(t.Context(), Options{File: bytes.NewReader(text), Size: int64(len(text)),
				Add: func(context.Context, shop.ProductImport) (shop.ImportStatus, []string, error) {
					return shop.Created, nil, nil
				}})
			if sum := r.Created + r.Merged + r.Refused; err == nil && sum != r.Rows {
				t.Fatalf("%d of %d rows are counted", sum, r.Rows)
			}
		}
	})
}

// real returns a file of products by other people, or skips the test.
func real(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("STOA_TEST_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("no real products here; STOA_TEST_DATA names the folder that holds %s: %v", name, err)
	}
	return string(text)
}

func TestRealCataloguesAreImportedAndThenUnchanged(t *testing.T) {
	text, err := os.ReadFile("testdata/pc-parts.yaml")
	check(t, err)
	m, err := ReadMapping(text)
	check(t, err)
	cases := []struct {
		name, reason                    string
		read                            reader
		rows, merged, refused, products int
		unpriced, columns, remote       int
	}{
		{"products-a/apparel.csv", "few options", Shopify, 22, 0, 0, 20, 0, 6, 20},
		{"products-a/home-and-garden.csv", "one product has an inventory tracker", Shopify, 21, 0, 0, 20, 0, 7, 21},
		{"products-a/jewelery.csv", "18 rows have a picture alone", Shopify, 41, 0, 0, 20, 0, 7, 41},
		{"products-a/shopify-export-48col.csv", "each product has four variants", Shopify, 100, 0, 0, 25, 0, 9, 25},
		{"products-b.jsonl", "503 rows are equal to another; 325 differ in no option column; 43 columns have no place", mapped(m), 9955, 503, 325, 7064, 5605, 43, 0},
	}
	s := open(t)
	for _, c := range cases {
		t.Run(filepath.Base(c.name), func(t *testing.T) {
			text := real(t, c.name)
			r := load(t, s, c.read, text)
			got := []int{r.Rows, r.Created, r.Merged, r.Refused, r.ProductsCreated, r.Unpriced, len(r.Columns), r.Remote}
			want := []int{c.rows, c.rows - c.merged - c.refused, c.merged, c.refused, c.products, c.unpriced, c.columns, c.remote}
			if !slices.Equal(got, want) {
				t.Errorf("rows, created, merged, refused, products, unpriced, columns, pictures are %v, want %v: %s", got, want, c.reason)
			}
			if r := load(t, s, c.read, text); r.Unchanged != c.rows-c.merged-c.refused || r.ProductsStayed != c.products {
				t.Errorf("again: %d rows of %d products are unchanged", r.Unchanged, r.ProductsStayed)
			}
		})
	}
	if r := load(t, s, Shopify, real(t, "products-a.csv")); r.Unchanged != 184 {
		t.Errorf("all four files in one: %d rows of 184 are unchanged: the name of a file is no part of an identity", r.Unchanged)
	}
	b := real(t, "products-b.jsonl")
	cents(t, export(t, s), b, load(t, s, mapped(m), b).Refusals)
	want := export(t, s)
	second := open(t)
	load(t, second, Own, want)
	if export(t, second) != want {
		t.Error("exported, imported into an empty shop and exported again, the catalogue is another one")
	}
}

// cents checks that every price of a file is in an export, in its own digits, but for refused lines and
// their equals.
func cents(t *testing.T, exported, file string, refused []Entry) {
	t.Helper()
	lines := strings.SplitAfter(file, "\n")
	without := map[string]bool{}
	for _, e := range refused {
		without[lines[e.Line-1]] = true
	}
	checked := 0
	for line := range strings.Lines(file) {
		var row struct{ Price json.Number }
		check(t, json.Unmarshal([]byte(line), &row))
		if row.Price == "" || without[line] {
			continue
		}
		checked++
		whole, part, _ := strings.Cut(row.Price.String(), ".")
		want := fmt.Sprintf(`"price":"%s.%s"`, whole, (part + "00")[:2])
		if !strings.Contains(exported, want) {
			t.Errorf("the price %s isn't there as %s", row.Price, want)
		}
	}
	if checked < 3300 {
		t.Errorf("%d prices were looked at", checked)
	}
}
