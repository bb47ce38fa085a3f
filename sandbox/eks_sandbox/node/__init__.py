# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs around a Kubernetes API: kubelets, controllers, the admission webhook, the authenticator, the agent.

Everything here is an ordinary client or webhook of a Kubernetes API over TLS, with either control plane.
"""

from __future__ import annotations
