/** A value that brings its type along: `v` in the D-Bus specification's "Container types". */

export class Variant<Value = unknown> {
  // Declared alone, since a field of a class is set twice, and an answer has hundreds of these.
  declare readonly signature: string;
  declare readonly value: Value;

  /** @param signature of one complete type, which is looked at when the variant is sent */
  constructor(signature: string, value: Value) {
    this.signature = signature;
    this.value = value;
  }
}
