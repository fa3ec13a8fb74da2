package account

import (
	"context"

	"stoa/access"
	"stoa/account/email"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// NewPassword replaces a password that is known.
type NewPassword struct{ CurrentPassword, NewPassword string }

// ChangePassword sets the viewer's password. Every session of the account ends; the
// viewer's goes on as a new one, with another token, by the way it came.
func (p *Service) ChangePassword(ctx context.Context, in NewPassword) (Signed, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return Signed{}, err
	}
	secret, err := p.confirm(ctx, v, in.CurrentPassword)
	if err != nil {
		return Signed{}, problem.Locate(err, "currentPassword")
	}
	hash, err := p.newHash(ctx, in.NewPassword, secret)
	if err != nil {
		return Signed{}, problem.Locate(err, "newPassword")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.setPassword(ctx, secret, hash)
	if err != nil {
		return Signed{}, err
	}
	delivery := ByToken
	if access.ByCookie(ctx) {
		delivery = ByCookie
	}
	return p.begin(ctx, changed, delivery, newSession())
}

// setPassword sets the password of an account that is still as it was read, but for its
// name, and so ends its sessions and its codes. Its owner is told by mail.
func (p *Service) setPassword(ctx context.Context, of *store.Secret, hash string) (*store.Account, error) {
	return p.announced(ctx, &store.OutgoingMail{
		Kind: store.PasswordNotice, To: of.Email, Name: of.Name, AccountID: of.ID, Epoch: of.Epoch + 1,
	}, func() (*store.Account, error) {
		return p.change(ctx, of.ID, func(s *store.Secret) error {
			if s.Epoch != of.Epoch || s.Email != of.Email {
				return problem.New(problem.Conflict, "the account has been changed in the meantime")
			}
			s.PasswordHash = hash
			s.Epoch++
			return nil
		})
	})
}

// announced makes a change that somebody is told of by a mail. The mail is stored
// before, for a time when the change has been made or never will be, so that nothing that
// happens in between keeps it back; compose sees which it was.
func (p *Service) announced(ctx context.Context, l *store.OutgoingMail, change func() (*store.Account, error)) (*store.Account, error) {
	l.CreatedAt = now()
	l.NextAt, l.ID = l.CreatedAt.Add(2*finishLimit), id.At(id.Mail, l.CreatedAt)
	if err := p.store.AddMail(ctx, l); err != nil {
		return nil, err
	}
	changed, err := change()
	if err != nil {
		return nil, err
	}
	return changed, p.store.RescheduleMail(ctx, l.ID, now())
}

// newHash checks a new password of an account and hashes it.
func (p *Service) newHash(ctx context.Context, secret string, of *store.Secret) (string, error) {
	if err := p.checkPassword(secret, of.Email, of.Name); err != nil {
		return "", err
	}
	return p.hasher.Hash(ctx, secret)
}

// confirm returns the viewer's account with what it is recognised by, if secret is its
// password; Credentials if it isn't, Throttled when it was tried too often.
func (p *Service) confirm(ctx context.Context, v access.Viewer, secret string) (*store.Secret, error) {
	if err := p.throttleConfirm(ctx, v.Session); err != nil {
		return nil, err
	}
	there, err := p.store.SecretOf(ctx, v.Account)
	if err != nil {
		return nil, err
	}
	ok, err := p.matches(ctx, secret, there)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem.New(problem.Credentials, "this isn't the account's password")
	}
	return there, nil
}

// matches says whether secret is the password of an account, which may be nil. It takes as
// long when there is no account, or none that a password opens.
func (p *Service) matches(ctx context.Context, secret string, of *store.Secret) (bool, error) {
	if of == nil || of.PasswordHash == "" {
		return false, p.hasher.Pretend(ctx, secret)
	}
	ok, rehash, err := p.hasher.Verify(ctx, secret, of.PasswordHash)
	if err != nil || !ok || !rehash {
		return ok, err
	}
	hash, err := p.hasher.Hash(ctx, secret)
	if err != nil {
		return true, nil // the next time
	}
	after := *of
	after.PasswordHash = hash
	if err := p.store.ChangeAccount(ctx, of, &after); err != nil && !problem.Is(err, problem.Conflict) {
		p.log.Warn("a password can't be hashed anew for now", "account", of.ID, "error", err)
	} else if err == nil {
		*of = after
	}
	return true, nil
}

// ResetRequest asks for a new password.
type ResetRequest struct {
	Email          string
	IdempotencyKey *string
}

// RequestReset has a mail sent to the address that lets the password be set, or says that
// there is no account. The caller can't tell which.
func (p *Service) RequestReset(ctx context.Context, in ResetRequest) error {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return problem.Locate(err, "email")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return err
	}
	if err := p.throttleAsking(ctx); err != nil {
		return err
	}
	return p.write(ctx, "reset/"+address, "passwordResetRequest", in.IdempotencyKey, []string{address}, &store.OutgoingMail{Kind: store.ResetMail, To: address})
}

// Reset sets a password by a code.
type Reset struct{ Token, Password string }

// Reset sets the password of the account that a code was sent for, which ends its sessions
// and makes every other code of it worthless.
func (p *Service) Reset(ctx context.Context, in Reset) error {
	code, err := p.mailCode(ctx, store.CodeToReset, in.Token)
	if err != nil {
		return err
	}
	there, err := p.store.SecretOf(ctx, code.AccountID)
	// A mailbox that is the account's no longer opens nothing.
	if problem.Is(err, problem.NotFound) || err == nil && (there.Epoch != code.Epoch || there.Email != code.Email) {
		return invalidToken()
	}
	if err != nil {
		return err
	}
	hash, err := p.newHash(ctx, in.Password, there)
	if err != nil {
		return problem.Locate(err, "password")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	if _, err = p.setPassword(ctx, there, hash); problem.Is(err, problem.Conflict) {
		return invalidToken()
	} else if err != nil {
		return err
	}
	p.forgive(ctx, there.Email)
	_, err = p.store.DeleteMailCode(ctx, code.Hash)
	return err
}

// EmailRequest asks for another address.
type EmailRequest struct {
	Email          string
	Password       string
	IdempotencyKey *string
}

// RequestEmail has a mail sent to the new address of the viewer's account, which confirms
// it, or says that it has an account already. The caller can't tell which.
func (p *Service) RequestEmail(ctx context.Context, in EmailRequest) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	address, err := email.Canonical(in.Email)
	if err != nil {
		return problem.Locate(err, "email")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return err
	}
	there, err := p.confirm(ctx, v, in.Password)
	if err != nil {
		return problem.Locate(err, "password")
	}
	if err := p.throttleAsking(ctx); err != nil {
		return err
	}
	return p.write(ctx, string(v.Account), "emailChangeRequest", in.IdempotencyKey, []string{address}, &store.OutgoingMail{
		Kind: store.EmailMail, To: address, Other: there.Email, AccountID: v.Account, Epoch: there.Epoch,
	})
}

// ConfirmEmail gives the viewer's account the address that a code was sent to, and tells
// the old one. Token where the code is of another account, or of an address that the
// account had before.
func (p *Service) ConfirmEmail(ctx context.Context, in Coming) (*store.Account, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return nil, err
	}
	code, err := p.mailCode(ctx, store.CodeToChangeEmail, in.Token)
	if err != nil {
		return nil, err
	}
	// That the mail was read isn't enough: a mistyped address would give the account away.
	if !v.Is(code.AccountID) {
		return nil, invalidToken()
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.announced(ctx, &store.OutgoingMail{
		Kind: store.EmailNotice, To: code.Replaces, Other: code.Email, AccountID: code.AccountID,
	}, func() (*store.Account, error) {
		return p.change(ctx, code.AccountID, func(s *store.Secret) error {
			if s.Epoch != code.Epoch || s.Email != code.Replaces {
				return invalidToken()
			}
			s.Email = code.Email
			return nil
		})
	})
	if err != nil {
		return nil, problem.Locate(err, "token")
	}
	_, err = p.store.DeleteMailCode(ctx, code.Hash)
	return changed, err
}
