package password

import (
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stoa/problem"
)

// cheap is for tests that are not about the cost.
var cheap = Params{Memory: 8, Passes: 1, Lanes: 1}

func TestHashIsVerified(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason            string
		password, against string
		ok                bool
	}{
		"Same":        {"what was hashed is right", "correct horse", "correct horse", true},
		"Other":       {"what wasn't is wrong", "correct horse", "correct house", false},
		"Case":        {"case counts", "correct horse", "Correct horse", false},
		"Space":       {"spaces count, also at the end", "correct horse", "correct horse ", false},
		"Decomposed":  {"a keyboard that composes and one that doesn't type the same password", "Zoe\u0308s Stra\u00dfe", "Zo\u00ebs Stra\u00dfe", true},
		"FullWidth":   {"NFKC folds the widths of an East Asian keyboard", "passphrase", "\uff50\uff41\uff53\uff53phrase", true},
		"Truncated":   {"nothing is cut off: the 72nd byte isn't the last that counts", strings.Repeat("ab", 100) + "x", strings.Repeat("ab", 100) + "y", false},
		"TooLong":     {"what can't have been hashed is wrong, not an error", "correct horse", strings.Repeat("x", maxBytes+1), false},
		"NotUTF8":     {"what can't have been hashed is wrong, not an error", "correct horse", "correct horse\xff", false},
		"EmptyOther":  {"nothing is wrong", "correct horse", "", false},
		"LongestEver": {"the longest there can be", strings.Repeat("\U0001f40e", MaxLength), strings.Repeat("\U0001f40e", MaxLength), true},
	}
	h := NewHasher(Options{Params: cheap})
	for name, c := range cases {
		stored, err := h.Hash(t.Context(), c.password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ok, _, err := h.Verify(t.Context(), c.against, stored); ok != c.ok || err != nil {
			t.Errorf("%s (%s): %v, %v", name, c.reason, ok, err)
		}
	}
}

func TestHashIsSaltedAndSaysItsParameters(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{})
	one, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two hashes of one password are equal")
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %q", one)
	}
}

// Hashes made by the reference implementation: its test vectors for Argon2id,
// https://github.com/P-H-C/phc-winner-argon2/blob/master/src/test.c.
func TestVerifyReadsReferenceHashes(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{})
	cases := map[string]struct {
		password, stored string
		ok, rehash       bool
	}{
		"Less":  {"password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", true, true},
		"More":  {"password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", true, true}, // its salt has 8 bytes
		"Wrong": {"passwore", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", false, false},
	}
	for name, c := range cases {
		if ok, rehash, err := h.Verify(t.Context(), c.password, c.stored); ok != c.ok || rehash != c.rehash || err != nil {
			t.Errorf("%s: %v, %v, %v", name, ok, rehash, err)
		}
	}
}

func TestRehashWhenParametersRise(t *testing.T) {
	t.Parallel()
	base := Params{Memory: 64, Passes: 2, Lanes: 1}
	stored, err := NewHasher(Options{Params: base}).Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		today  Params
		want   bool
	}{
		"Same":       {"nothing has changed", base, false},
		"MoreMemory": {"memory has risen", Params{Memory: 65, Passes: 2, Lanes: 1}, true},
		"MorePasses": {"passes have risen", Params{Memory: 64, Passes: 3, Lanes: 1}, true},
		"Less":       {"a stronger one is kept", Params{Memory: 32, Passes: 1, Lanes: 1}, false},
	}
	for name, c := range cases {
		if ok, rehash, err := NewHasher(Options{Params: c.today}).Verify(t.Context(), "correct horse", stored); !ok || rehash != c.want || err != nil {
			t.Errorf("%s (%s): %v, %v, %v", name, c.reason, ok, rehash, err)
		}
	}
}

func TestVerifyRejectsForeignFormats(t *testing.T) {
	t.Parallel()
	const salt, key = "c29tZXNhbHRzb21lc2FsdA", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	const settings = "m=256,t=2,p=1"
	hash := func(settings, salt, key string) string {
		return "$argon2id$v=19$" + settings + "$" + salt + "$" + key
	}
	if _, err := decode(hash(settings, salt, key)); err != nil {
		t.Fatalf("the base of the cases: %v", err)
	}
	cases := map[string]string{
		"Empty":          "",
		"Bcrypt":         "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"Argon2i":        "$argon2i$v=19$" + settings + "$" + salt + "$" + key,
		"OldVersion":     "$argon2id$v=16$" + settings + "$" + salt + "$" + key,
		"NoVersion":      "$argon2id$" + settings + "$" + salt + "$" + key,
		"FourGiB":        hash("m=4194304,t=2,p=1", salt, key),
		"TooManyPasses":  hash("m=256,t=4294967295,p=1", salt, key),
		"NoPass":         hash("m=256,t=0,p=1", salt, key),
		"NoLane":         hash("m=256,t=2,p=0", salt, key),
		"TooManyLanes":   hash("m=256,t=2,p=255", salt, key),
		"TooLittle":      hash("m=7,t=2,p=1", salt, key),
		"Overflow":       hash("m=99999999999999999999,t=2,p=1", salt, key),
		"Sign":           hash("m=+256,t=2,p=1", salt, key),
		"LeadingZero":    hash("m=0256,t=2,p=1", salt, key),
		"OtherOrder":     hash("t=2,m=256,p=1", salt, key),
		"KeyID":          hash("m=256,t=2,p=1,keyid=Hj5", salt, key),
		"ShortSalt":      hash(settings, "c29tZQ", key),
		"NoSalt":         hash(settings, "", key),
		"NoHash":         hash(settings, salt, ""),
		"ShortHash":      hash(settings, salt, "nf65EOgLrQMR"),
		"LongHash":       hash(settings, salt, strings.Repeat("AAAA", 22)),
		"Padded":         hash(settings, salt, key+"="),
		"LineBreak":      hash(settings, salt, key+"\n"),
		"LooseLastBits":  hash(settings, salt, key[:len(key)-1]+"5"),
		"FurtherSection": hash(settings, salt, key) + "$",
	}
	h := NewHasher(Options{Params: cheap})
	for name, stored := range cases {
		if ok, rehash, err := h.Verify(t.Context(), "password", stored); ok || rehash || err == nil {
			t.Errorf("%s: %v, %v, %v", name, ok, rehash, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := decode(s)
		if err != nil {
			return
		}
		if e.String() != s {
			t.Errorf("%q is read and written as %q", s, e)
		}
		if e.params.Memory > maxMemory || e.params.Passes > maxPasses || e.params.check() != nil {
			t.Errorf("%q may take %+v", s, e.params)
		}
	})
}

func TestHashRejectsLongPasswords(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{Params: cheap})
	for name, p := range map[string]string{
		"CodePoints": strings.Repeat("x", MaxLength+1),
		"Bytes":      strings.Repeat("x", maxBytes+1),
		"Expanded":   strings.Repeat("\ufdfa", 15), // 18 code points each in NFKC
		"NotUTF8":    "correct horse\xff",
	} {
		if _, err := h.Hash(t.Context(), p); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{Params: cheap, AtOnce: 1})
	h.hashing.turns <- struct{}{} // another caller's turn, never given back
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 3)
	stored := encoded{params: cheap, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}.String()
	go func() { _, err := h.Hash(ctx, "correct horse"); errs <- err }()
	go func() { _, _, err := h.Verify(ctx, "correct horse", stored); errs <- err }()
	go func() { errs <- h.Pretend(ctx, "correct horse") }()
	for h.hashing.waiting.Load() < 3 {
		runtime.Gosched()
	}
	cancel()
	for range 3 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited left with %v", err)
		}
	}
	if n := h.hashing.waiting.Load(); n != 0 {
		t.Errorf("%d still count as waiting", n)
	}
	<-h.hashing.turns
	if _, err := h.Hash(ctx, "correct horse"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a free turn and an ended context: %v", err)
	}
}

func TestTooManyWaiting(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{Params: cheap, AtOnce: 1, MaxWaiting: 2})
	h.hashing.turns <- struct{}{}
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- h.Pretend(t.Context(), "correct horse") }()
	}
	for h.hashing.waiting.Load() < 2 {
		runtime.Gosched()
	}
	err := h.Pretend(t.Context(), "correct horse")
	var refused *problem.Error
	if !errors.As(err, &refused) || refused.Code != problem.Throttled || refused.RetryAfter <= 0 {
		t.Errorf("the third got %v", err)
	}
	<-h.hashing.turns
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("one of the two who waited: %v", err)
		}
	}
	if err := h.Pretend(t.Context(), "correct horse"); err != nil {
		t.Errorf("after all are through: %v", err)
	}
}

// flood runs n hashes at the same time. It returns the greatest growth of the heap and of the
// process's memory during them, in bytes.
func flood(tb testing.TB, h *Hasher, n int) (heap, total uint64) {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	read := func() (uint64, uint64) {
		metrics.Read(sample)
		return sample[0].Value.Uint64(), sample[1].Value.Uint64() - sample[2].Value.Uint64()
	}
	heapBefore, totalBefore := read()
	var done atomic.Bool
	var watching, hashing sync.WaitGroup
	watching.Go(func() {
		for !done.Load() {
			a, b := read()
			heap, total = max(heap, a), max(total, b)
			runtime.Gosched()
		}
	})
	for range n {
		hashing.Go(func() {
			if _, err := h.Hash(tb.Context(), "correct horse battery staple"); err != nil {
				tb.Error(err)
			}
		})
	}
	hashing.Wait()
	done.Store(true)
	watching.Wait()
	return heap - min(heap, heapBefore), total - min(total, totalBefore)
}

// Not parallel: it measures the whole process.
func TestHashingFloodIsBoundedInMemory(t *testing.T) {
	const atOnce, n = 2, 40
	one := uint64(Recommended.Memory) << 10
	heap, total := flood(t, NewHasher(Options{AtOnce: atOnce, LongestWait: time.Minute}), n)
	t.Logf("%d hashes, %d at once: the heap grew by %d MiB, the process by %d MiB", n, atOnce, heap>>20, total>>20)
	// Twice for garbage (GOGC=100), and some for other work; all 40 would be 760 MiB.
	if limit := 8 * atOnce * one; heap > limit {
		t.Errorf("%d hashes at once took %d MiB of heap, where %d of them take %d", n, heap>>20, atOnce, atOnce*one>>20)
	}
}

func BenchmarkHash(b *testing.B) {
	h := NewHasher(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFlood is 200 sign-ins at once.
func BenchmarkFlood(b *testing.B) {
	h := NewHasher(Options{})
	var heap, total uint64
	for b.Loop() {
		grown, all := flood(b, h, 200)
		heap, total = max(heap, grown), max(total, all)
	}
	b.ReportMetric(float64(heap>>20), "MiB-heap")
	b.ReportMetric(float64(total>>20), "MiB-process")
}

// A caller far from its turn must not yet do the work that follows Enter.
func TestEnterAdmitsAFew(t *testing.T) {
	h := NewHasher(Options{Params: cheap, AtOnce: 2, MaxWaiting: 1})
	var leave []func()
	for range 2 * nearFactor {
		l, err := h.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many is let near: %v", err)
	}
	for _, l := range leave {
		l()
	}
	if l, err := h.Enter(t.Context()); err != nil {
		t.Errorf("nobody is near, and nobody is let: %v", err)
	} else {
		l()
	}
}

func TestWaitingIsBounded(t *testing.T) {
	h := NewHasher(Options{Params: cheap, AtOnce: 1, LongestWait: time.Millisecond})
	h.hashing.turns <- struct{}{} // another caller's turn, never given back
	if _, err := h.Hash(t.Context(), "correct horse"); !problem.Is(err, problem.Throttled) {
		t.Errorf("after waiting too long: %v", err)
	}
}
