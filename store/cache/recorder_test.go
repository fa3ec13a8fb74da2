package cache

// Validity tokens: the reads recorded, drops that end them, and the time that they last.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reading reads items and lists as one response, and returns its token.
func (r *replica) reading(t testing.TB, items, lists []string) (s *Validity, names []string, ok bool) {
	t.Helper()
	ctx, noted := r.Record(t.Context())
	if _, err := r.items.Get(ctx, r.Cache, items); err != nil {
		t.Fatal(err)
	}
	if _, err := r.lists.Get(ctx, r.Cache, lists); err != nil {
		t.Fatal(err)
	}
	return noted.End()
}

func now() int64 { return time.Now().UnixNano() }

func TestARecorderHasEveryNameThatWasAskedFor(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	r.db.set("a", 1)
	want := []string{"a", "absent", "b", "go", "web"}
	for _, reason := range []string{"loaded", "out of the process"} {
		s, names, ok := r.reading(t, []string{"b", "a", "absent", "a"}, []string{"go,web", "go"})
		if !slices.Equal(names, want) || !ok || s.Deps() != len(want) {
			t.Errorf("%s: %q, %t; want %q", reason, names, ok, want)
		}
	}

	// A load that another request leads.
	r.Flush()
	reached, release := hold(&r.afterLoad)
	defer release()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, names, ok := r.reading(t, []string{"a"}, nil); !slices.Equal(names, []string{"a"}) || !ok {
				t.Errorf("one of two that ask at once has read %q, %t", names, ok)
			}
		})
	}
	<-reached
	eventually(t, "the other waits", func() bool { return r.Counts().Waited == 1 })
	release()
	group.Wait()
}

func TestATokenFallsWithItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	names := []string{"a", "absent", "go", "web"}
	for _, dropped := range names {
		s, _, ok := r.reading(t, []string{"a", "absent"}, []string{"go,web"})
		for i := range 3 * remembered {
			r.Drop(fmt.Sprint("other ", i))
			if i%(remembered/4) == 0 && !s.Valid(now()) {
				t.Fatalf("%d drops of other names made it fall", i+1)
			}
		}
		if !ok || !s.Valid(now()) {
			t.Fatalf("drops of other names made it fall")
		}
		r.Drop(dropped)
		for range 3 {
			if s.Valid(now()) {
				t.Errorf("it stands after the drop of %q", dropped)
			}
		}
	}
}

func TestATokenThatWasNotCheckedForLongFallsAllTheSame(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	s, _, _ := r.reading(t, []string{"a"}, nil)
	r.Drop("a")
	for i := range 2 * remembered { // the drop of a is remembered by its stripe alone
		r.Drop(fmt.Sprint("other ", i))
	}
	if s.Valid(now()) {
		t.Error("a drop was forgotten")
	}
	s, _, _ = r.reading(t, []string{"a"}, nil)
	r.Flush()
	if s.Valid(now()) {
		t.Error("it stands after a flush")
	}
}

// A thing dropped between a response's first read and its end may be in the response in its old
// state.
func TestARecordThatWasOvertakenGivesNoToken(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	ctx, noted := r.Record(t.Context())
	r.mustWrite(t, "a")
	if _, err := r.items.Get(ctx, r.Cache, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := noted.End(); ok {
		t.Error("it is kept although a was written after it began")
	}
}

func TestAnUncacheableRecordGivesNoToken(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	ctx, noted := r.Record(t.Context())
	MarkUncacheable(WithoutTracking(ctx))
	MarkUncacheable(context.WithoutCancel(context.Background()))
	if _, _, ok := noted.End(); !ok {
		t.Error("reads recorded for another response make this one uncacheable")
	}
	MarkUncacheable(context.WithoutCancel(ctx))
	if _, _, ok := noted.End(); ok {
		t.Error("an uncacheable response gets a token")
	}
	// The reads of a Load are declared by its Get.
	r.items.Load = func(ctx context.Context, _ []string) (map[string]*int, error) {
		MarkUncacheable(ctx)
		return nil, nil
	}
	if _, _, ok := r.reading(t, []string{"new"}, nil); !ok {
		t.Error("a load forbids keeping")
	}
}

// A response lives no longer than the first of its parts to expire.
func TestATokenIsValidAsLongAsItsDependencies(t *testing.T) {
	t.Parallel()
	r := newWorld(t).replica("without Redis", "") // so that it is never sure to hear of changes
	var s *Validity
	var old int64
	for ok := false; !ok; { // on a slow machine the old part may be too old already
		if _, err := r.get("old"); err != nil {
			t.Fatal(err)
		}
		old = now()
		eventually(t, "some time has passed", func() bool { return now()-old > int64(shortLife)/10 })
		s, _, ok = r.reading(t, []string{"old", "new"}, nil)
		ok = ok && now()-old < int64(shortLife)
	}
	if s.Valid(old + int64(shortLife)) {
		t.Error("it outlives its oldest part")
	}

	r = newWorld(t).alone()
	s, _, _ = r.reading(t, []string{"a"}, nil)
	if !s.Valid(now() + int64(24*time.Hour)) {
		t.Error("the token ends, though this process makes every write")
	}
	raiseTime(&r.uncertainUntil, time.Now().Add(time.Hour))
	if s.Valid(now() + int64(2*shortLife)) {
		t.Error("it stands for more than a second while a write's outcome isn't known")
	}
}

// Readers, drops of their keys and of many others, all at once: after Drop has returned, no token
// from before it is valid, and none is ended by another's drop.
func TestTokensAmidDrops(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	stop := make(chan struct{})
	var noise, readers sync.WaitGroup
	for n := range 2 {
		noise.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					r.Drop(fmt.Sprintf("noise %d %d", n, i%1000))
				}
			}
		})
	}
	for n := range 4 {
		readers.Go(func() {
			mine, other := fmt.Sprint("mine ", n), fmt.Sprint("other ", n)
			for range 500 {
				a, _, _ := r.reading(t, []string{mine}, nil)
				b, _, _ := r.reading(t, []string{other}, nil)
				for range 20 {
					a.Valid(now())
				}
				r.Drop(mine)
				if a.Valid(now()) {
					t.Errorf("%s stands after its drop", mine)
					return
				}
				// A token not checked for too many drops may be ended by a drop on its stripe.
				if !b.Valid(now()) && r.drops[r.hash(other)%stripes].Load() == 0 {
					t.Errorf("%s fell, and nothing on its stripe was dropped", other)
					return
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	noise.Wait()
}

func BenchmarkValid(b *testing.B) {
	r := newWorld(b).alone()
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("art_%s%04d", strings.Repeat("0", 20), i))
	}
	s, _, _ := r.reading(b, many, nil)
	at := now()
	b.Run("Quiet", func(b *testing.B) {
		for b.Loop() {
			s.Valid(at)
		}
	})
	b.Run("OneDropEach", func(b *testing.B) {
		for b.Loop() {
			r.Drop("other")
			s.Valid(at)
		}
	})
}

// A response depends on all that a part of it depends on, if that has a recorder of its own.
func TestAPartsReadsAreItsResponses(t *testing.T) {
	t.Parallel()
	r := newWorld(t).alone()
	outer, response := r.Record(t.Context())
	inner, part := r.Record(outer)
	if _, err := r.items.Get(inner, r.Cache, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	part.AddTo(outer)
	s, names, ok := response.End()
	if !ok || len(names) != 1 {
		t.Fatalf("the response depends on %q, and %t that it gets a token", names, ok)
	}
	r.mustWrite(t, "a")
	if s.ValidNow() {
		t.Error("the response is valid though its part has changed")
	}
	outer, response = r.Record(t.Context())
	inner, part = r.Record(outer)
	MarkUncacheable(inner)
	part.AddTo(outer)
	if _, _, ok := response.End(); ok {
		t.Error("a response with an uncacheable part gets a token")
	}
}

// A replica loses its trust for a moment, and a read in that moment sees a change whose message is
// still under way. Once there is trust again, no token from before that read is valid.
func TestATokenDoesNotReviveAfterALapseOfTrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	s, _, ok := r.reading(t, []string{"a"}, nil)
	if !ok {
		t.Fatal("the token isn't valid at first")
	}
	made := now()
	eventually(t, "the token is older than a second", func() bool { return now()-made > int64(shortLife) })
	r.uncertainUntil.Store(now() + int64(time.Hour))
	w.db.set("a", 2)
	r.must(t, "a", 2, "a read without trust goes to the database")
	r.uncertainUntil.Store(0)
	if s.ValidNow() {
		t.Error("2 was answered, and the token for 1 is valid again")
	}
	if s, _, ok = r.reading(t, []string{"a"}, nil); !ok || !s.ValidNow() {
		t.Error("a token from after the lapse isn't valid")
	}
}

// A load takes so long that another replaces it. When it ends at last, it takes nothing out of the
// process that tokens were already made from.
func TestALoadThatWasReplacedLeavesTheYoungerEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replica("without Redis", "") // so that it is never sure to hear of changes
	w.db.set("a", 1)
	reached, release := hold(&r.afterLoad)
	var group sync.WaitGroup
	defer group.Wait()
	defer release()
	group.Go(func() { _, _ = r.get("a") })
	<-reached
	began := now()
	eventually(t, "nobody waits for the load any more", func() bool { return now()-began > int64(shortLife) })
	s, _, ok := r.reading(t, []string{"a"}, nil)
	if !ok {
		t.Fatal("the token isn't valid at first")
	}
	release()
	group.Wait()
	w.db.set("a", 2)
	if v, err := r.get("a"); err != nil || v == 2 && s.ValidNow() {
		t.Errorf("%d is answered (%v), and the token for 1 is valid", v, err)
	}
}

// A key shares its stripe with another one. Drops of the other leave its entry, as they leave the
// tokens of its readers: an entry that was loaded anew would be newer than a response with the token.
func TestADropOnTheSameStripeLeavesEntryAndToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.alone()
	w.db.set("a", 1)
	other := ""
	for i := 0; other == ""; i++ {
		if k := fmt.Sprint("other ", i); r.hash(k)%stripes == r.hash("a")%stripes && r.hash(k) != r.hash("a") {
			other = k
		}
	}
	token, _, ok := r.reading(t, []string{"a"}, nil)
	w.db.set("a", 2) // nobody has told
	for n := range 4 * few {
		r.Drop(other)
		r.must(t, "a", 1, fmt.Sprintf("after %d drops of %s", n+1, other))
		if !ok || !token.Valid(now()) {
			t.Errorf("the token falls after %d drops of %s", n+1, other)
		}
	}
	r.Drop("a")
	if token.Valid(now()) {
		t.Error("the token stands after the drop of its key")
	}
	r.must(t, "a", 2, "after the drop of its key")
}
