// The module "fusebox", which functions may import.

export { Refused } from 'fusebox:host';
