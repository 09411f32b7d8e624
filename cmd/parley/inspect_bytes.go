package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/inspect"
)

func (a *app) inspectWakuMessageCommand() *cobra.Command {
	var pubsubTopic string
	c := &cobra.Command{
		Use:   "waku-message BYTES",
		Short: "A Waku message's fields and hash",
		Long: `Show the fields of a serialised Waku message, and with --pubsub-topic its
deterministic hash there. The timestamp is Unix time in nanoseconds. Fields that
are absent show as 0, false or 0x.`,
		Example: `  parley inspect waku-message --pubsub-topic /waku/2/rs/16/32 \
    0a040102030412182f77616b752f312f307830333462616261622f726663323618015080c0d68880c28a8130`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if pubsubTopic == "" && cmd.Flags().Changed("pubsub-topic") {
				return fault.New(fault.Usage, "--pubsub-topic is empty").WithHint("it is a text such as /waku/2/rs/16/32")
			}
			raw, err := a.inputBytes(args)
			if err != nil {
				return err
			}
			m, err := inspect.ParseWakuMessage(raw, pubsubTopic)
			if err != nil {
				return err
			}
			return a.showInspected(m)
		},
	}
	c.Flags().StringVar(&pubsubTopic, "pubsub-topic", "", "pubsub topic for the hash, such as /waku/2/rs/16/32")
	return c
}

func (a *app) inspectPayloadCommand() *cobra.Command {
	var symmetricFile, privateFile string
	c := &cobra.Command{
		Use:   "payload (--symmetric-key-file F | --private-key-file F) BYTES",
		Short: "Open the encrypted payload of a Waku message",
		Long: `Open the payload of a Waku message of version 1 (26/WAKU2-PAYLOAD) with a topic's
symmetric key or with a person's or community's private key, and show what is in
it, who signed it and the padding. The signer is - (null in JSON) when nobody did.

The key file holds 64 hexadecimal digits, with or without 0x.`,
		Example: `  parley inspect topic status --json | jq -r .symmetric_key > topic.key
  parley inspect waku-message --json < message.hex | jq -r .payload |
    parley inspect payload --symmetric-key-file topic.key --json | jq -r .payload |
    parley inspect layers`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if (symmetricFile == "") == (privateFile == "") {
				return fault.New(fault.Usage, "give one of --symmetric-key-file and --private-key-file").
					WithHint("parley inspect topic NAME shows the symmetric key of a topic")
			}
			flag, file, open := "symmetric-key-file", symmetricFile, inspect.OpenSymmetric
			if privateFile != "" {
				flag, file, open = "private-key-file", privateFile, inspect.OpenAsymmetric
			}
			content, err := a.secretFile(flag, file)
			if err != nil {
				return err
			}
			secret, err := inspect.Secret(content)
			if err != nil {
				return err
			}
			data, err := a.inputBytes(args)
			if err != nil {
				return err
			}
			opened, err := open(data, secret)
			if err != nil {
				return err
			}
			return a.showInspected(opened)
		},
	}
	c.Flags().StringVar(&symmetricFile, "symmetric-key-file", "", "file with the symmetric key of the topic")
	c.Flags().StringVar(&privateFile, "private-key-file", "", "file with the private key of the recipient")
	return c
}

func (a *app) inspectLayersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "layers BYTES",
		Short: "Whatever the bytes are, layer by layer",
		Long: `Show bytes as the layers they are made of, from the outside in. Each layer is the
first of these that fits:

  waku_message          an envelope; its payload of version 1 is encrypted
  segment               a part of a payload that was too long for one envelope
  protocol_message      the encryption layer: bundles, and a public message,
                        which is opened further, or encrypted entries
  mvds                  data synchronisation: acknowledgements and messages,
                        which are opened further
  sds                   scalable data synchronisation of communities
  application_message   the signed wrapper, with author and message id; in it
                        the message itself, such as chat_message

or unknown, with the fields by number when the bytes are protobuf. With --json
each layer is {"layer","fields","inner":[…]}, with "bytes" when it is unknown and
"error" when something about it is wrong. The text form cuts long byte strings
short, JSON has all of them.`,
		Example: `  parley inspect layers --json < payload.hex
  parley inspect payload --symmetric-key-file topic.key --json < sealed.hex |
    jq -r .payload | parley inspect layers`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := a.inputBytes(args)
			if err != nil {
				return err
			}
			return a.showInspected(inspect.Layers(raw))
		},
	}
}

func (a *app) inspectBundleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bundle BYTES",
		Short: "An X3DH bundle's installations, and whether its signature is right",
		Long: `Show a bundle: whose it is, when it was signed (Unix time in nanoseconds), the
signed pre key of each installation, and whether it is valid, that is, keeps the
rules of its format and is signed by its identity. For one that is not, the exit
code is 1.`,
		Example: `  parley inspect bundle --json < bundle.hex`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := a.inputBytes(args)
			if err != nil {
				return err
			}
			b, err := inspect.ParseBundle(raw)
			return a.showJudged(b, err)
		},
	}
}
