package account

// Sessions: SignIn begins one, Authenticate finds the viewer of a token, Revoke and
// RevokeOthers end sessions. token.go has the format of tokens.

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"stoa/access"
	"stoa/account/email"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// MaxSessions is the most sessions that an account can have: one more ends the oldest.
const MaxSessions = 100

// Delivery is the way in which a client gets and stores its token.
type Delivery string

// The values of Delivery.
const (
	ByToken  Delivery = "TOKEN"  // in the response, for apps and servers
	ByCookie Delivery = "COOKIE" // in a cookie that scripts can't read, for browsers
)

// SignIn is the input of Service.SignIn.
type SignIn struct {
	Email          string
	Password       string
	Delivery       Delivery
	IdempotencyKey *string
}

// Signed is a session that has begun, or the zero Signed if none has.
type Signed struct {
	Session *store.Session
	Account *store.Account
	Token   *string // nil if the token is in a cookie
}

// SignIn begins a session. If no account has this address and this password it returns
// Credentials, after the same time in both cases; after too many attempts, Throttled.
func (p *Service) SignIn(ctx context.Context, in SignIn) (Signed, error) {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return Signed{}, problem.Locate(err, "email")
	}
	if in.Delivery == ByCookie && !access.CookiesFrom(ctx) {
		return Signed{}, problem.New(problem.Invalid, "no cookie can be set here: use delivery TOKEN, or sign in by POST").At("delivery")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return Signed{}, err
	}
	from, err := p.deviceOf(ctx, address)
	if err != nil {
		return Signed{}, err
	}
	if err := p.throttleLogin(ctx, address, from); err != nil {
		return Signed{}, err
	}
	leave, err := p.hasher.Enter(ctx)
	if err != nil {
		return Signed{}, err
	}
	defer leave()
	there, err := p.store.SecretByEmail(ctx, address)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return Signed{}, err
	}
	if err != nil {
		there = nil
	}
	if from.known() && !from.opens(there) {
		from = device{}
		if err := p.throttleLogin(ctx, address, from); err != nil {
			return Signed{}, err
		}
	}
	ok, err := p.matches(ctx, in.Password, there)
	if err != nil {
		return Signed{}, err
	}
	if !ok {
		return Signed{}, problem.New(problem.Credentials, "no account has this address and this password; one that was registered opens once its mail was answered")
	}
	p.forgive(ctx, address, from)
	begun := newSession()
	if in.IdempotencyKey != nil {
		// The record has no trace of the password: it has just been checked.
		record := store.IdempotencyRecord{Caller: string(there.ID), Key: *in.IdempotencyKey, Mutation: "sessionCreate", Input: []string{address, string(in.Delivery)}}
		made, err := p.store.RecordIdempotency(ctx, record)
		if err != nil {
			return Signed{}, err
		}
		begun = session{id: id.Derived(id.Session, made, record.Seed()), secret: derivedSecret(*in.IdempotencyKey, there.ID, in.Password), at: made, repeats: true}
	}
	return p.begin(ctx, &there.Account, in.Delivery, begun)
}

// session is the id, secret and start of a session that is about to begin.
type session struct {
	id      id.ID
	secret  secret
	at      time.Time
	repeats bool // an equal call may have begun it already
}

func newSession() session {
	at := store.Now()
	return session{id: id.At(id.Session, at), secret: newSecret(), at: at}
}

// begin stores a session and makes its owner the viewer. If the session replaces the one in
// the client's cookie, the old session ends.
func (p *Service) begin(ctx context.Context, owner *store.Account, by Delivery, s session) (Signed, error) {
	before, err := access.ViewerFrom(ctx)
	if err != nil {
		return Signed{}, err
	}
	replaces := by == ByCookie && access.ByCookie(ctx) && before.SignedIn()
	client := access.ClientFrom(ctx)
	x := &store.Session{
		ID: s.id, AccountID: owner.ID, Epoch: owner.Epoch, Hash: s.secret.hash(), Device: client.Device,
		CreatedAt: s.at, EndsAt: s.at.Add(p.longest),
	}
	if client.Address.IsValid() {
		x.Address = client.Address.String()
	}
	err = p.store.AddSession(ctx, x)
	if s.repeats && problem.Is(err, problem.Conflict) {
		x, err = p.again(ctx, owner, s)
	}
	if err != nil {
		return Signed{}, err
	}
	if err := p.bound(ctx, owner); err != nil {
		return Signed{}, err
	}
	// A session of an account deleted meanwhile must not remain.
	if _, owners, err := p.store.Identify(ctx, []id.ID{x.ID}); err == nil && owners[0] == nil {
		return Signed{}, errors.Join(p.store.EndSessions(ctx, []*store.Session{x}), problem.New(problem.Conflict, "the account has been deleted in the meantime"))
	}
	if replaces && before.Session != x.ID {
		if err := p.end(ctx, before.Account, before.Session); err != nil && !problem.Is(err, problem.NotFound) {
			return Signed{}, err
		}
	}
	p.trust(ctx, owner)
	access.Become(ctx, access.Viewer{Account: owner.ID, Session: x.ID, Role: owner.Role})
	signed, token := Signed{Session: x, Account: owner}, tokenOf(x.ID, s.secret)
	if by == ByCookie {
		access.Keep(ctx, access.Cookie{Token: token, Until: x.EndsAt})
	} else {
		signed.Token = &token
	}
	return signed, nil
}

// again returns the session that an earlier equal call began, or Conflict if it has ended.
func (p *Service) again(ctx context.Context, owner *store.Account, s session) (*store.Session, error) {
	there, err := p.store.SessionsUnder(ctx, owner.ID)
	if err != nil {
		return nil, err
	}
	for _, x := range there {
		if x.ID != s.id || !x.StandsFor(owner, time.Now()) || subtle.ConstantTimeCompare(x.Hash, s.secret.hash()) != 1 {
			continue
		}
		idle, err := p.idled(ctx, x, time.Now())
		if err != nil {
			return nil, err
		}
		if !idle {
			return x, nil
		}
	}
	return nil, problem.New(problem.Conflict, "the session that this idempotency key began has ended: use a new key").At("idempotencyKey")
}

// bound ends the oldest sessions of an account beyond MaxSessions.
func (p *Service) bound(ctx context.Context, owner *store.Account) error {
	there, err := p.store.SessionsUnder(ctx, owner.ID)
	if err != nil || len(there) <= MaxSessions {
		return err
	}
	return p.store.EndSessions(ctx, there[MaxSessions:])
}

// Authenticate returns the viewer of a token; the zero Viewer if the token opens no session.
func (p *Service) Authenticate(ctx context.Context, token string) (access.Viewer, error) {
	viewers, err := p.authenticate(ctx, []string{token})
	if err != nil {
		return access.Viewer{}, err
	}
	return viewers[0], nil
}

// Holds says for each token if it still opens a session.
func (p *Service) Holds(ctx context.Context, tokens []string) ([]bool, error) {
	viewers, err := p.authenticate(ctx, tokens)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(tokens))
	for i, v := range viewers {
		out[i] = v.SignedIn()
	}
	return out, nil
}

func (p *Service) authenticate(ctx context.Context, tokens []string) ([]access.Viewer, error) {
	out := make([]access.Viewer, len(tokens))
	ids, hashes, at := make([]id.ID, 0, len(tokens)), make([][]byte, 0, len(tokens)), make([]int, 0, len(tokens))
	for i, token := range tokens {
		if session, hash, ok := parseToken(token); ok {
			ids, hashes, at = append(ids, session), append(hashes, hash), append(at, i)
		}
	}
	if len(ids) == 0 {
		return out, nil
	}
	found, owners, err := p.store.Identify(ctx, ids)
	if err != nil {
		return nil, err
	}
	moment := time.Now()
	for i, x := range found {
		if x == nil || owners[i] == nil || subtle.ConstantTimeCompare(x.Hash, hashes[i]) != 1 || !x.StandsFor(owners[i], moment) {
			continue
		}
		idle, err := p.idled(ctx, x, moment)
		if err != nil {
			return nil, err
		}
		if !idle {
			out[at[i]] = access.Viewer{Account: owners[i].ID, Session: x.ID, Role: owners[i].Role}
		}
	}
	return out, nil
}

// idled says if a session has been unused for longer than the idle time.
func (p *Service) idled(ctx context.Context, x *store.Session, moment time.Time) (bool, error) {
	if moment.Sub(x.CreatedAt) < p.idle || moment.Sub(p.lastUses.last(x.ID)) < p.idle {
		return false, nil
	}
	used, err := p.store.LastUses(ctx, []id.ID{x.ID})
	if err != nil {
		return false, err
	}
	if used[0] == nil {
		return true, nil
	}
	p.lastUses.learn(x.ID, used[0].At)
	return moment.Sub(used[0].At) >= p.idle, nil
}

// Viewer returns the viewer of the request; NotFound if nobody is signed in.
func (p *Service) Viewer(ctx context.Context) (*access.Viewer, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if !v.SignedIn() {
		return nil, problem.New(problem.NotFound, "nobody has signed in")
	}
	return &v, nil
}

// Revocation names a session; a nil id means the viewer's current session.
type Revocation struct{ ID *id.ID }

// Revoke ends one of the viewer's sessions; NotFound if the viewer has no session with the id.
func (p *Service) Revoke(ctx context.Context, in Revocation) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	which := v.Session
	if in.ID != nil {
		which = *in.ID
	}
	if err := p.end(ctx, v.Account, which); err != nil {
		return problem.Locate(err, "id")
	}
	if which == v.Session {
		access.Become(ctx, access.Viewer{})
		access.Keep(ctx, access.Cookie{})
	}
	return nil
}

// RevokeOthers ends all of the viewer's sessions except the current one, and returns their
// number.
func (p *Service) RevokeOthers(ctx context.Context) (int, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return 0, err
	}
	there, err := p.store.SessionsUnder(ctx, v.Account)
	if err != nil {
		return 0, err
	}
	others := there[:0]
	for _, x := range there {
		if x.ID != v.Session {
			others = append(others, x)
		}
	}
	return len(others), p.store.EndSessions(ctx, others)
}

// end ends one session of an account.
func (p *Service) end(ctx context.Context, account, which id.ID) error {
	there, err := p.store.SessionsUnder(ctx, account)
	if err != nil {
		return err
	}
	for _, x := range there {
		if x.ID == which {
			return p.store.EndSessions(ctx, []*store.Session{x})
		}
	}
	return problem.New(problem.NotFound, "you have no session with this id")
}
