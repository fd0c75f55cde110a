/**
 * Requests that a route decided: by the variant that answered and the rule, and by the rule alone.
 *
 * Must not know who decides.
 */
import type { Assignment } from '../core/route.js';
import type { Family, Series } from '../core/series.js';

interface Decisions extends Series {
  readonly reason: string;
  value: number;
}

interface Assignments extends Series {
  readonly variant: string;
  readonly decisions: Decisions;
  value: number;
}

interface Route {
  readonly assignments: Assignments[];
  readonly decisions: Decisions[];
}

export class RouteCounts {
  readonly #routes = new Map<string, Route>();

  count(name: string, { variant, reason }: Assignment): void {
    let route = this.#routes.get(name);
    if (route === undefined) {
      route = { assignments: [], decisions: [] };
      this.#routes.set(name, route);
    }
    for (const assignments of route.assignments) {
      if (assignments.variant === variant && assignments.decisions.reason === reason) {
        assignments.value++;
        assignments.decisions.value++;
        return;
      }
    }
    const decisions = decisionsOf(route, name, reason);
    decisions.value++;
    route.assignments.push({ variant, decisions, labels: { route: name, variant, reason }, value: 1 });
  }

  families(): Family[] {
    const counter = (name: string, help: string, of: (route: Route) => readonly Series[]): Family => ({
      name,
      help,
      type: 'counter',
      series: [...this.#routes.values()].flatMap((route) => of(route).map(({ labels, value }) => ({ labels, value }))),
    });
    return [
      counter(
        'sluice_assignments_total',
        'Inference requests that a route decided, by the variant that answered and the rule.',
        ({ assignments }) => assignments,
      ),
      counter(
        'sluice_route_decisions_total',
        'Inference requests that a route decided, by the rule.',
        ({ decisions }) => decisions,
      ),
    ];
  }
}

function decisionsOf({ decisions }: Route, model: string, reason: string): Decisions {
  let known = decisions.find((one) => one.reason === reason);
  if (known === undefined) {
    known = { reason, labels: { model, reason }, value: 0 };
    decisions.push(known);
  }
  return known;
}
