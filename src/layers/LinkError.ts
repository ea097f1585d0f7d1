/** What can go wrong with a dedicated link. */
import * as Schema from "effect/Schema"

export class LinkOpenError extends Schema.TaggedError<LinkOpenError>()("LinkOpenError", {
  interfaceName: Schema.String,
  address: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `cannot open the dedicated link ${this.interfaceName} (${this.address}): ` +
      `${this.code}${hintOf(this)}`
  }
}

const hintOf = (error: LinkOpenError): string => {
  switch (error.code) {
    case "ENODEV":
      return `; is there an interface "${error.interfaceName}"?`
    case "EADDRNOTAVAIL":
      return "; the address is not configured on this machine"
    case "EADDRINUSE":
      return "; another program is bound to this address and port"
    case "EPERM":
      return "; SndSocketBuffer and RcvSocketBuffer need CAP_NET_ADMIN"
    default:
      return ""
  }
}

export class LinkReceiveError extends Schema.TaggedError<LinkReceiveError>()("LinkReceiveError", {
  interfaceName: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `receiving on the dedicated link ${this.interfaceName} failed: ${this.code}; ` +
      "the link is opened again"
  }
}
