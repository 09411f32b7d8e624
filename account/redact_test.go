package account

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

// TestSecretsHidden prints, logs and marshals every type that holds secrets.
func TestSecretsHidden(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	spec := newSpec(t)
	a, err := s.Create(spec, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := Derive(spec.Mnemonic, spec.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	spec.Chat, spec.Encryption, spec.Keys = a.Chat, a.Encryption, keys
	imported := ImportedKey{Private: keys.Chat.Private, Node: keys.Chat}
	words := strings.Fields(a.Mnemonic)
	secrets := []string{
		a.Mnemonic, words[0] + " " + words[1], spec.Passphrase, a.WalletRoot, keys.Master.ExtendedKey(), keys.Chat.ExtendedKey(),
		hex.EncodeToString(a.Chat.Bytes()), hex.EncodeToString(a.Encryption.Bytes()), hex.EncodeToString(keys.Master.Private.Bytes()),
		hex.EncodeToString(a.dataKey[:]), fmt.Sprint(a.dataKey[:]), fmt.Sprint(a.Chat.Bytes()), hex.EncodeToString(keys.Chat.ChainCode()),
		strings.Trim(fmt.Sprintf("%#v", a.dataKey[:4]), "[]byte{}"), new(big.Int).SetBytes(a.Chat.Bytes()).String(),
	}
	values := []any{*a, a, spec, &spec, *keys, keys, keys.Chat, &keys.Chat, imported, &imported, []Account{*a},
		map[string]*Account{"x": a}, struct{ Account *Account }{a}, struct{ Value Account }{*a}}
	check := func(how, text string) {
		t.Helper()
		for i, secret := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("%s shows secret %d", how, i)
			}
		}
	}
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			check(fmt.Sprintf("%s of %T", verb, value), fmt.Sprintf(verb, value))
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%T: %v", value, err)
		}
		check(fmt.Sprintf("JSON of %T", value), string(raw))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
		check(fmt.Sprintf("log of %T", value), log.String())
	}
	if text := fmt.Sprintf("%+v", a); !strings.Contains(text, a.ID) {
		t.Errorf("prints %s", text)
	}
	var info Info
	raw, err := json.Marshal(a)
	if err != nil || json.Unmarshal(raw, &info) != nil || info != a.Info() {
		t.Errorf("marshals as %s, %v", raw, err)
	}
}
